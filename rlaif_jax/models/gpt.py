"""Presets of Pythia (Biderman et al. 2023, arXiv:2304.01373, table 1) and GPT-2."""

from typing import Any

from rlaif_jax.models.config import TransformerConfig

_CLASSIC: dict[str, Any] = {
    "norm": "layer",
    "norm_eps": 1e-5,
    "qkv_bias": True,
    "out_bias": True,
    "mlp_bias": True,
    "gated": False,
    "q_groups": 1,
}


def _pythia(
    embed: int, num_layers: int, heads: int, *, vocab_size: int = 50_304
) -> TransformerConfig:
    """The sizes differ in their padding of the vocabulary, too."""
    return TransformerConfig(
        family="gpt_neox",
        vocab_size=vocab_size,
        embed=embed,
        num_layers=num_layers,
        kv_heads=heads,
        head_dim=embed // heads,
        ffw=4 * embed,
        max_positions=2048,
        parallel_residual=True,
        activation="gelu",
        rope_fraction=0.25,
        bos_token_id=0,
        eos_token_id=0,
        **_CLASSIC,
    )


def _gpt2(embed: int, num_layers: int) -> TransformerConfig:
    """All sizes have heads of 64 dimensions."""
    return TransformerConfig(
        family="gpt2",
        vocab_size=50_257,
        embed=embed,
        num_layers=num_layers,
        kv_heads=embed // 64,
        head_dim=64,
        ffw=4 * embed,
        max_positions=1024,
        activation="gelu_tanh",
        positions="learned",
        tie_embeddings=True,
        bos_token_id=50_256,
        eos_token_id=50_256,
        **_CLASSIC,
    )


PRESETS = {
    "pythia-70m": _pythia(512, 6, 8),
    "pythia-160m": _pythia(768, 12, 12),
    "pythia-410m": _pythia(1024, 24, 16),
    "pythia-1b": _pythia(2048, 16, 8),
    "pythia-1.4b": _pythia(2048, 24, 16),
    "pythia-2.8b": _pythia(2560, 32, 32),
    "pythia-6.9b": _pythia(4096, 32, 32, vocab_size=50_432),
    "pythia-12b": _pythia(5120, 36, 40, vocab_size=50_688),
    "gpt2": _gpt2(768, 12),
    "gpt2-medium": _gpt2(1024, 24),
    "gpt2-large": _gpt2(1280, 36),
    "gpt2-xl": _gpt2(1600, 48),
}
