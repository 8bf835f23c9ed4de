"""What is computed: architectures, and pure functions of their parameters."""

from rlaif_jax.models.cache import KVCache, init_cache
from rlaif_jax.models.config import Lora, TransformerConfig
from rlaif_jax.models.lora import (
    frozen_params,
    init_adapters,
    joined_params,
    merged_params,
    trained_params,
)
from rlaif_jax.models.registry import preset
from rlaif_jax.models.reward import RewardModel, reward_model, rewards
from rlaif_jax.models.transformer import (
    Params,
    abstract_params,
    forward,
    head_kernel,
    hidden_states,
    init_params,
    logical_axes,
    unembed,
)

__all__ = [
    "KVCache",
    "Lora",
    "Params",
    "RewardModel",
    "TransformerConfig",
    "abstract_params",
    "forward",
    "frozen_params",
    "head_kernel",
    "hidden_states",
    "init_adapters",
    "init_cache",
    "init_params",
    "joined_params",
    "logical_axes",
    "merged_params",
    "preset",
    "reward_model",
    "rewards",
    "trained_params",
    "unembed",
]
