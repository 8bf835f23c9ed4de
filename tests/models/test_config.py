"""Tests of `rlaif_jax.models.config`."""

import json

import pytest

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.models import TransformerConfig, preset

CONFIG = preset("llama-tiny")


def test_survives_a_file():
    document = json.loads(json.dumps(CONFIG.replace(sliding_window=7).to_json()))
    assert TransformerConfig.from_json(document) == CONFIG.replace(sliding_window=7)


def test_equal_configs_are_one_static_argument():
    assert hash(CONFIG) == hash(CONFIG.replace(remat="full").replace(remat="none"))


def test_query_heads_are_groups_of_key_heads():
    assert CONFIG.num_heads == 4  # 2 key/value heads of 2 query heads


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("head_dim", 7),
        ("num_layers", 0),
        ("sliding_window", 0),
        ("compute_dtype", "float16"),
        ("remat", "some"),
    ],
)
def test_an_impossible_value_is_named(field, value):
    with pytest.raises(ValueError, match=str(value)):
        CONFIG.replace(**{field: value})


@pytest.mark.parametrize("change", [{"depth": 3}, {"embed": -1}])
def test_a_file_of_another_kind_is_corrupt(change):
    with pytest.raises(CorruptDataError, match=r"depth|-1"):
        TransformerConfig.from_json(CONFIG.to_json() | change)


def test_a_file_without_a_size_is_corrupt():
    document = CONFIG.to_json()
    del document["ffw"]
    with pytest.raises(CorruptDataError, match="ffw"):
        TransformerConfig.from_json(document)
