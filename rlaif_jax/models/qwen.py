"""Presets of Qwen 2.5 (arXiv:2412.15115) and Qwen 3 (arXiv:2505.09388)."""

from rlaif_jax.models.config import TransformerConfig

QWEN2_5_7B = TransformerConfig(
    family="qwen2",
    vocab_size=152_064,
    embed=3584,
    num_layers=28,
    kv_heads=4,
    q_groups=7,
    head_dim=128,
    ffw=18_944,
    max_positions=131_072,
    norm_eps=1e-6,
    rope_theta=1_000_000.0,
    qkv_bias=True,
    bos_token_id=151_643,
    eos_token_id=151_643,
)
_SMALL = QWEN2_5_7B.replace(
    vocab_size=151_936, kv_heads=2, max_positions=32_768, tie_embeddings=True
)
QWEN3_8B = QWEN2_5_7B.replace(
    family="qwen3",
    vocab_size=151_936,
    embed=4096,
    num_layers=36,
    kv_heads=8,
    q_groups=4,
    ffw=12_288,
    max_positions=32_768,
    qkv_bias=False,
    qk_norm=True,
)
_TIED = QWEN3_8B.replace(tie_embeddings=True)

PRESETS = {
    "qwen2.5-0.5b": _SMALL.replace(embed=896, num_layers=24, head_dim=64, ffw=4864),
    "qwen2.5-1.5b": _SMALL.replace(embed=1536, q_groups=6, ffw=8960),
    "qwen2.5-3b": _SMALL.replace(embed=2048, num_layers=36, q_groups=8, ffw=11_008),
    "qwen2.5-7b": QWEN2_5_7B,
    "qwen3-0.6b": _TIED.replace(embed=1024, num_layers=28, q_groups=2, ffw=3072),
    "qwen3-1.7b": _TIED.replace(embed=2048, num_layers=28, q_groups=2, ffw=6144),
    "qwen3-4b": _TIED.replace(embed=2560, ffw=9728),
    "qwen3-8b": QWEN3_8B,
}
