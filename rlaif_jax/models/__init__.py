"""What is computed: architectures, and pure functions of their parameters."""

from rlaif_jax.models.cache import KVCache, init_cache
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.registry import preset
from rlaif_jax.models.transformer import (
    Params,
    abstract_params,
    forward,
    hidden_states,
    init_params,
    logical_axes,
    unembed,
)

__all__ = [
    "KVCache",
    "Params",
    "TransformerConfig",
    "abstract_params",
    "forward",
    "hidden_states",
    "init_cache",
    "init_params",
    "logical_axes",
    "preset",
    "unembed",
]
