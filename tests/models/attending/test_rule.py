"""Tests of `rlaif_jax.models.attending.rule`."""

import pytest

from rlaif_jax.models import preset
from rlaif_jax.models.attending.rule import Rule, needs


@pytest.mark.parametrize(
    ("name", "changes", "asked"),
    [
        ("llama-3.2-1b", {}, {"grouped", "float32"}),
        ("mistral-7b-v0.1", {"compute_dtype": "bfloat16"}, {"grouped", "window"}),
        ("gpt2", {}, {"float32"}),
        (
            "gemma-2-2b",
            {"compute_dtype": "bfloat16"},
            {"grouped", "softcap", "wide_heads", "window"},
        ),
        ("gpt2", {"head_dim": 12}, {"float32", "wide_heads"}),
    ],
)
def test_an_architecture_asks_for_what_it_has(name, changes, asked):
    assert needs(preset(name).replace(**changes), 8192) == asked


def test_a_window_that_holds_the_whole_row_asks_for_nothing():
    config = preset("mistral-7b-v0.1")  # of 4096 tokens
    assert "window" in needs(config, 4097)
    assert "window" not in needs(config, 4096)


def test_queries_are_scaled_by_their_width_unless_the_config_says_otherwise():
    assert Rule.of(preset("llama-tiny")).scale == 8**-0.5
    assert Rule.of(preset("gemma-2-27b")).scale == 144**-0.5
