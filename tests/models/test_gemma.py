"""Tests of `rlaif_jax.models.gemma`."""

import pytest

from rlaif_jax.models.gemma import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_the_stream_starts_at_the_root_of_its_width(name):
    config = PRESETS[name]
    assert config.embedding_scale**2 == pytest.approx(config.embed)


def test_only_the_27b_scales_queries_by_another_width_than_the_heads():
    for name, config in PRESETS.items():
        by_heads = config.query_scale == config.head_dim**-0.5
        assert by_heads == (name != "gemma-2-27b")
