"""Tests of `rlaif_jax.models.qwen`."""

from rlaif_jax.models.qwen import PRESETS, QWEN3_8B


def test_small_sizes_are_tied_and_large_ones_are_not():
    tied = {name for name, config in PRESETS.items() if config.tie_embeddings}
    assert PRESETS.keys() - tied == {"qwen2.5-7b", "qwen3-8b"}


def test_qwen3_norms_heads_where_qwen2_has_biases():
    for config in PRESETS.values():
        assert config.qk_norm == (config.family == "qwen3")
        assert config.qkv_bias == (config.family == "qwen2")
    assert QWEN3_8B.num_heads * QWEN3_8B.head_dim == QWEN3_8B.embed
