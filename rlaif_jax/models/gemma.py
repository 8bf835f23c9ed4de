"""Presets of Gemma 2 (arXiv:2408.00118, table 1)."""

from rlaif_jax.models.config import TransformerConfig

GEMMA_2_2B = TransformerConfig(
    family="gemma2",
    vocab_size=256_000,
    embed=2304,
    num_layers=26,
    kv_heads=4,
    q_groups=2,
    head_dim=256,
    ffw=9216,
    max_positions=8192,
    norm_eps=1e-6,
    norm_plus_one=True,
    post_norms=True,
    activation="gelu_tanh",
    sliding_window=4096,
    global_every=2,
    query_scale=256**-0.5,
    attention_softcap=50.0,
    logit_softcap=30.0,
    embedding_scale=2304**0.5,
    tie_embeddings=True,
    bos_token_id=2,
    eos_token_id=1,
)

PRESETS = {
    "gemma-2-2b": GEMMA_2_2B,
    "gemma-2-9b": GEMMA_2_2B.replace(
        embed=3584, num_layers=42, kv_heads=8, ffw=14_336, embedding_scale=3584**0.5
    ),
    "gemma-2-27b": GEMMA_2_2B.replace(
        embed=4608,
        num_layers=46,
        kv_heads=16,
        head_dim=128,
        ffw=36_864,
        query_scale=144**-0.5,
        embedding_scale=4608**0.5,
    ),
}
