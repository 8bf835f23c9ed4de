"""Presets of Mistral and Mixtral.

Jiang et al. 2023, arXiv:2310.06825, table 1; Jiang et al. 2024, arXiv:2401.04088.
"""

from rlaif_jax.models.config import TransformerConfig

MISTRAL_7B = TransformerConfig(
    family="mistral",
    vocab_size=32_000,
    embed=4096,
    num_layers=32,
    kv_heads=8,
    q_groups=4,
    head_dim=128,
    ffw=14_336,
    max_positions=32_768,
    norm_eps=1e-5,
    sliding_window=4096,  # v0.1 only: later releases dropped it and raised rope_theta
    bos_token_id=1,
    eos_token_id=2,
)
_V2 = MISTRAL_7B.replace(sliding_window=None, rope_theta=1_000_000.0)
MIXTRAL_8X7B = _V2.replace(family="mixtral", num_experts=8)

PRESETS = {
    "mistral-7b-v0.1": MISTRAL_7B,
    "mistral-7b-v0.2": _V2,
    "mistral-7b-v0.3": _V2.replace(vocab_size=32_768),
    "mixtral-8x7b-v0.1": MIXTRAL_8X7B,
}
