"""Log-probabilities of the completions in rows of tokens, under a model."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from rlaif_jax.data.rows import TokenRows
from rlaif_jax.losses import token_logps
from rlaif_jax.models import Params, TransformerConfig, hidden_states, unembed


def completion_token_logps(
    config: TransformerConfig, params: Params, rows: TokenRows
) -> Float[Array, "*B T"]:
    """Log-probability of every completion token given all before it, in nats.

    Where `completion_mask[t]` is True, `token_ids[t]` is a completion token; it is
    predicted from position t - 1, so the shift happens here and nowhere else. The
    last position predicts nothing and never reaches the head.

    Args:
      config: The architecture.
      params: Of the model that scores.
      rows: Of any leading shape; a completion never starts at t = 0.

    Returns:
      In float32, aligned with `rows.token_ids`; 0 where the mask is False.
    """
    *leading, length = rows.token_ids.shape
    flat = [jnp.reshape(part, (-1, length)) for part in rows]
    token_ids, positions, segment_ids, completion_mask = flat
    states = hidden_states(config, params, token_ids, positions, segment_ids)
    logits = unembed(config, params, states.hidden[:, :-1])
    logps = token_logps(logits, token_ids[:, 1:])
    aligned = jnp.pad(logps, ((0, 0), (1, 0)))
    return jnp.where(completion_mask, aligned, 0.0).reshape(*leading, length)


def completion_logps(
    config: TransformerConfig, params: Params, rows: TokenRows
) -> Float[Array, "*B"]:
    """Log-probability of each row's completion given its prompt, in nats.

    Args:
      config: The architecture.
      params: Of the model that scores.
      rows: As for `completion_token_logps`.

    Returns:
      Sums over tokens; 0 for a row without completion.
    """
    return jnp.sum(completion_token_logps(config, params, rows), axis=-1)
