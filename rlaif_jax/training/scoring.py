"""Log-probabilities and rewards of the completions in rows of tokens."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlaif_jax.data.rows import TokenRows
from rlaif_jax.losses import load_balancing_loss, token_logps
from rlaif_jax.models import (
    Params,
    TransformerConfig,
    hidden_states,
    rewards,
    unembed,
)
from rlaif_jax.models.transformer import HiddenStates


class Scores(NamedTuple):
    """What one forward pass says of rows."""

    token_logps: Float[Array, "*B T"]  # see `completion_token_logps`
    balance: Float[Array, ""]  # of the router over all tokens; 0 without experts


class RewardScores(NamedTuple):
    """What one forward pass of a reward model says of rows."""

    rewards: Float[Array, "*B"]
    balance: Float[Array, ""]  # as of `Scores`


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
    read = _read(config, params, rows)
    logits = unembed(config, params, read.states.hidden[:, :-1])
    logps = token_logps(logits, read.token_ids[:, 1:])
    aligned = jnp.pad(logps, ((0, 0), (1, 0)))
    scored = jnp.where(read.completion_mask, aligned, 0.0)
    return Scores(scored.reshape(*leading, length), read.balance)


def score_rewards(
    config: TransformerConfig, params: Params, rows: TokenRows
) -> RewardScores:
    """The reward of each row's completion, read at its last token.

    That is the end-of-turn token, or where it was cut off; which one it is comes from
    `completion_mask`, never from ids: padding with the end token cannot shift it.

    Args:
      config: The architecture, with a reward head.
      params: Of the reward model.
      rows: Of any leading shape.
    """
    *leading, length = rows.token_ids.shape
    read = _read(config, params, rows)
    last = jnp.max(jnp.where(read.completion_mask, jnp.arange(length), 0), axis=-1)
    hidden = read.states.hidden
    ends = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    return RewardScores(rewards(params, ends).reshape(leading), read.balance)


def completion_rewards(
    config: TransformerConfig, params: Params, rows: TokenRows
) -> Float[Array, "*B"]:
    """The reward of each row's completion given its prompt, in nats.

    Args:
      config: The architecture, with a reward head.
      params: Of the reward model.
      rows: As for `score_rewards`.
    """
    return score_rewards(config, params, rows).rewards


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


class _Read(NamedTuple):
    """Rows with one leading axis, and what a model made of them."""

    token_ids: Int[Array, "B T"]
    completion_mask: Bool[Array, "B T"]
    states: HiddenStates

    @property
    def balance(self) -> Float[Array, ""]:
        routing = self.states.routing
        return load_balancing_loss(*routing) if routing else jnp.zeros(())


def _read(config: TransformerConfig, params: Params, rows: TokenRows) -> _Read:
    """One forward pass over rows of any leading shape."""
    flat = [jnp.reshape(part, (-1, part.shape[-1])) for part in rows]
    token_ids, positions, segment_ids, completion_mask = flat
    states = hidden_states(config, params, token_ids, positions, segment_ids)
    return _Read(token_ids, completion_mask, states)
