"""Tests of `rlaif_jax.models.registry`."""

import jax
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.models import abstract_params, preset
from rlaif_jax.models.registry import PRESETS


def num_parameters(name):
    return sum(leaf.size for leaf in jax.tree.leaves(abstract_params(preset(name))))


# published: 6.74 B and 13.02 B (Llama 2 model cards' files), 7.24 B (Mistral)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-7b", 6_738_415_616),
        ("llama-2-7b", 6_738_415_616),
        ("llama-2-13b", 13_015_864_320),
        ("mistral-7b-v0.1", 7_241_732_096),
    ],
)
def test_a_preset_has_the_published_number_of_parameters(name, expected):
    assert num_parameters(name) == expected


def test_the_nearest_name_is_offered():
    with pytest.raises(UsageError, match="did you mean 'llama-2-7b'"):
        preset("llama2-7b")


def test_all_names_are_listed_when_none_is_near():
    with pytest.raises(UsageError, match=r"known: .*lab-tiny"):
        preset("qqq")


def test_every_preset_names_a_known_family():
    assert {config.family for config in PRESETS.values()} == {"llama", "mistral"}
