"""A transformer that gives a completion one number, where others give it tokens."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.transformer import Params


class RewardModel(NamedTuple):
    """An architecture with a reward head, and its parameters."""

    config: TransformerConfig
    params: Params


def reward_model(config: TransformerConfig, params: Params) -> RewardModel:
    """A language model with its head exchanged for one that prefers nothing yet.

    The head starts at 0, so that the first loss is log 2 and the layers learn from
    the second step on, when there is a direction to learn in.

    Args:
      config: Of the language model.
      params: Its parameters; shared, not copied.
    """
    body = {name: part for name, part in params.items() if name != "head"}
    # of the host, as it has no device yet and every process makes the same
    head = np.zeros(config.embed, np.float32)
    return RewardModel(config.replace(head="reward"), body | {"reward_head": head})


def rewards(params: Params, hidden: Float[Array, "*B D"]) -> Float[Array, "*B"]:
    """The reward head's value of final states, in nats and float32.

    Args:
      params: Of a reward model.
      hidden: From `hidden_states`: those of completions' last tokens.
    """
    weights = params["reward_head"].astype(jnp.float32)
    return jnp.einsum("...d,d->...", hidden.astype(jnp.float32), weights)
