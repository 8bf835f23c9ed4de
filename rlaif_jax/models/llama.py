"""Presets of the Llama family, and of families that only chose other sizes."""

from rlaif_jax.models.config import RopeScaling, TransformerConfig

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
    norm_eps=1e-6,
    bos_token_id=1,
    eos_token_id=2,
)
LLAMA_13B = LLAMA_7B.replace(embed=5120, num_layers=40, kv_heads=40, ffw=13_824)
LLAMA_2_7B = LLAMA_7B.replace(max_positions=4096, norm_eps=1e-5)
LLAMA_2_13B = LLAMA_13B.replace(max_positions=4096, norm_eps=1e-5)
LLAMA_2_70B = LLAMA_2_7B.replace(
    embed=8192, num_layers=80, kv_heads=8, q_groups=8, ffw=28_672
)
LLAMA_3_8B = LLAMA_2_7B.replace(
    vocab_size=128_256,
    kv_heads=8,
    q_groups=4,
    ffw=14_336,
    max_positions=8192,
    rope_theta=500_000.0,
    bos_token_id=128_000,
    eos_token_id=128_001,
)
LLAMA_3_70B = LLAMA_3_8B.replace(embed=8192, num_layers=80, q_groups=8, ffw=28_672)
_LONG = {
    "max_positions": 131_072,
    "rope_scaling": RopeScaling(kind="llama3", factor=8.0),
}
LLAMA_3_2_1B = LLAMA_3_8B.replace(
    embed=2048,
    num_layers=16,
    head_dim=64,
    ffw=8192,
    max_positions=131_072,
    rope_scaling=RopeScaling(kind="llama3", factor=32.0),
    tie_embeddings=True,
)
YI_6B = LLAMA_2_7B.replace(
    vocab_size=64_000, kv_heads=4, q_groups=8, rope_theta=5_000_000.0
)
DEEPSEEK_LLM_7B = LLAMA_7B.replace(
    vocab_size=102_400,
    num_layers=30,
    max_positions=4096,
    bos_token_id=100_000,
    eos_token_id=100_001,
)

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
    "llama-13b": LLAMA_13B,
    "llama-30b": LLAMA_7B.replace(embed=6656, num_layers=60, kv_heads=52, ffw=17_920),
    "llama-65b": LLAMA_7B.replace(
        embed=8192, num_layers=80, kv_heads=64, ffw=22_016, norm_eps=1e-5
    ),
    "llama-2-7b": LLAMA_2_7B,
    "llama-2-13b": LLAMA_2_13B,
    "llama-2-70b": LLAMA_2_70B,
    "llama-3-8b": LLAMA_3_8B,
    "llama-3-70b": LLAMA_3_70B,
    "llama-3.1-8b": LLAMA_3_8B.replace(**_LONG),
    "llama-3.1-70b": LLAMA_3_70B.replace(**_LONG),
    "llama-3.2-1b": LLAMA_3_2_1B,
    "llama-3.2-3b": LLAMA_3_2_1B.replace(
        embed=3072, num_layers=28, q_groups=3, head_dim=128
    ),
    "yi-6b": YI_6B,
    "yi-34b": YI_6B.replace(
        embed=7168, num_layers=60, kv_heads=8, q_groups=7, ffw=20_480
    ),
    "deepseek-llm-7b": DEEPSEEK_LLM_7B,
    "lab-tiny": LAB_TINY,
    "llama-tiny": LLAMA_TINY,
}
