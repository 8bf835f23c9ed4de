"""Log-probabilities of the completions in rows of tokens, under a model."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from rlaif_jax.data.rows import TokenRows
from rlaif_jax.losses import load_balancing_loss, token_logps
from rlaif_jax.models import Params, TransformerConfig, hidden_states, unembed


class Scores(NamedTuple):
    """What one forward pass says of rows."""

    token_logps: Float[Array, "*B T"]  # see `completion_token_logps`
    balance: Float[Array, ""]  # of the router over all tokens; 0 without experts


def score_rows(config: TransformerConfig, params: Params, rows: TokenRows) -> Scores:
    """Log-probabilities of completion tokens, and the load of the experts.

    Where `completion_mask[t]` is True, `token_ids[t]` is a completion token; it is
    predicted from position t - 1, so the shift happens here and nowhere else. The
    last position predicts nothing and never reaches the head.

    Args:
      config: The architecture.
      params: Of the model that scores.
      rows: Of any leading shape; a completion never starts at t = 0.
    """
    *leading, length = rows.token_ids.shape
    flat = [jnp.reshape(part, (-1, length)) for part in rows]
    token_ids, positions, segment_ids, completion_mask = flat
    states = hidden_states(config, params, token_ids, positions, segment_ids)
    logits = unembed(config, params, states.hidden[:, :-1])
    logps = token_logps(logits, token_ids[:, 1:])
    aligned = jnp.pad(logps, ((0, 0), (1, 0)))
    scored = jnp.where(completion_mask, aligned, 0.0).reshape(*leading, length)
    routing = states.routing
    balance = load_balancing_loss(*routing) if routing else jnp.zeros(())
    return Scores(scored, balance)


def completion_token_logps(
    config: TransformerConfig, params: Params, rows: TokenRows
) -> Float[Array, "*B T"]:
    """Log-probability of every completion token given all before it, in nats.

    Args:
      config: The architecture.
      params: Of the model that scores.
      rows: As for `score_rows`.

    Returns:
      In float32, aligned with `rows.token_ids`; 0 where the mask is False.
    """
    return score_rows(config, params, rows).token_logps


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


def with_balance(
    loss: Float[Array, ""],
    balance: Float[Array, ""],
    metrics: dict[str, Float[Array, ""]],
    *,
    weight: float,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The loss with the router's, and metrics that tell both where there are two."""
    if not weight:
        return loss, metrics
    metrics = metrics | {"loss/task": loss, "loss/router": balance}
    return loss + weight * balance, metrics
