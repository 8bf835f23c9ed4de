"""Tests of `rlaif_jax.config_sources`."""

import pydantic
import pytest

from rlaif_jax.config import SourceConfig


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"format": "jsonl", "rules": "paper"}, "rules goes with format alpaca_eval, "),
        ({"format": "sharegpt", "reader": "tfds"}, "reader goes with format hh, "),
        ({"format": "hh", "column": "text"}, "column goes with format huggingface, "),
        ({"format": "hh", "min_score_ratio": 3}, "min_score_ratio goes with .* shp"),
        ({"format": "sharegpt", "num_turns": 2}, "num_turns=2 goes with rules=paper"),
        ({"format": "hh", "revision": "0" * 40}, "goes with reader=huggingface"),
        ({"format": "hh", "data_dir": "x"}, "data_dir goes with reader=huggingface"),
        ({"format": "huggingface", "revision": "main"}, "40 hex digits.*'main'"),
        ({"format": "stack_exchange", "split": "test"}, "split=test has no effect"),
        ({"format": "sharegpt", "data_fraction": 0}, "greater than 0"),
    ],
)
def test_an_option_without_effect_is_refused(options, reason):
    with pytest.raises(pydantic.ValidationError, match=reason):
        SourceConfig.model_validate({"path": "x"} | options)


def test_a_commit_and_a_folder_go_with_the_hub():
    source = SourceConfig(
        format="hh",
        path="Anthropic/hh-rlhf",
        reader="huggingface",
        data_dir="helpful-base",
        revision="0123456789" * 4,
    )
    assert source.data_dir == "helpful-base"
