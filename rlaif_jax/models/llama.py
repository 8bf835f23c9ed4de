"""Presets of the Llama family."""

from rlaif_jax.models.config import TransformerConfig

LLAMA_7B = TransformerConfig(
    family="llama",
    vocab_size=32_000,
    embed=4096,
    num_layers=32,
    kv_heads=32,
    q_groups=1,
    head_dim=128,
    ffw=11_008,
    max_positions=2048,
    rope_theta=10_000.0,
    norm_eps=1e-6,
    bos_token_id=1,
    eos_token_id=2,
)
LLAMA_2_7B = LLAMA_7B.replace(max_positions=4096, norm_eps=1e-5)
LLAMA_2_13B = LLAMA_2_7B.replace(embed=5120, num_layers=40, kv_heads=40, ffw=13_824)

# Llama's architecture at the size of the embedded lab; vocab_size and the special
# tokens are replaced by the tokenizer's when a run is put together.
LAB_TINY = LLAMA_7B.replace(
    vocab_size=128,
    embed=64,
    num_layers=3,
    kv_heads=4,
    head_dim=16,
    ffw=128,
    max_positions=128,
)
LLAMA_TINY = LLAMA_2_7B.replace(
    vocab_size=512,
    embed=32,
    num_layers=2,
    kv_heads=2,
    q_groups=2,
    head_dim=8,
    ffw=64,
    max_positions=256,
)

PRESETS = {
    "llama-7b": LLAMA_7B,
    "llama-2-7b": LLAMA_2_7B,
    "llama-2-13b": LLAMA_2_13B,
    "lab-tiny": LAB_TINY,
    "llama-tiny": LLAMA_TINY,
}
