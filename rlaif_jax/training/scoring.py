"""Log-probabilities and rewards of the completions in rows of tokens.

Shape letters beside the glossary: R rows, C completion slots of a row, N items, A
completions of an item; see `data.packing`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rlaif_jax.data.packing import PackedRows
from rlaif_jax.losses import load_balancing_loss
from rlaif_jax.losses.head import Head, slot_logps
from rlaif_jax.models import (
    Params,
    TransformerConfig,
    head_kernel,
    hidden_states,
    rewards,
)
from rlaif_jax.models.activations import sequence_parts, whole_rows
from rlaif_jax.models.precision import wide
from rlaif_jax.models.transformer import HiddenStates

_MAX_LOGITS = 2**26  # that exist at a time on a device: 256 MiB of them
_CHUNK_TOKENS = (128, 2048)  # fewer are slow, more gain nothing


class Scores(NamedTuple):
    """What one forward pass says of rows."""

    token_logps: Float[Array, "R C"]  # of each slot, in nats; 0 in empty ones
    balance: Float[Array, ""]  # of the router over all tokens; 0 without experts


class RewardScores(NamedTuple):
    """What one forward pass of a reward model says of rows."""

    rewards: Float[Array, "N A"]
    balance: Float[Array, ""]  # as of `Scores`


def score_rows(config: TransformerConfig, params: Params, rows: PackedRows) -> Scores:
    """Log-probabilities of completion tokens, and the load of the experts.

    Only the states that predict a completion token reach the head, in chunks.

    Args:
      config: The architecture.
      params: Of the model that scores.
      rows: From `data.packing`.

    Returns:
      In float32.
    """
    states = _read(config, params, rows)
    sources = jnp.asarray(rows.sources)[..., None]
    hidden = jnp.take_along_axis(whole_rows(states.hidden), sources, axis=1)
    kernel = head_kernel(config, params)
    head = Head(config.logit_softcap, _chunk(config, rows.sources.shape))
    logps: Array = slot_logps(hidden, kernel, jnp.asarray(rows.targets), head)
    is_real = rows.sequences < rows.lengths.size
    return Scores(jnp.where(is_real, logps, 0.0), _balance(states))


def sequence_sums(values: Float[Array, "R C"], rows: PackedRows) -> Float[Array, "N A"]:
    """The sum over each completion's tokens of something known of each slot."""
    sums = jax.ops.segment_sum(
        values.reshape(-1),
        jnp.asarray(rows.sequences).reshape(-1),
        num_segments=rows.lengths.size + 1,  # the last for no one's slots
    )
    return sums[:-1].reshape(rows.lengths.shape)


def completion_logps(
    config: TransformerConfig, params: Params, rows: PackedRows
) -> Float[Array, "N A"]:
    """Log-probability of each completion given its prompt, in nats.

    Args:
      config: The architecture.
      params: Of the model that scores.
      rows: As for `score_rows`.
    """
    return sequence_sums(score_rows(config, params, rows).token_logps, rows)


def completion_token_logps(
    config: TransformerConfig, params: Params, rows: PackedRows
) -> Float[Array, "R C"]:
    """Log-probability of every completion token given all before it, in nats.

    Args:
      config: The architecture.
      params: Of the model that scores.
      rows: As for `score_rows`.
    """
    return score_rows(config, params, rows).token_logps


def score_rewards(
    config: TransformerConfig, params: Params, rows: PackedRows
) -> RewardScores:
    """The reward of each completion, read at its last token.

    That is the end-of-turn token, or where it was cut off; which one it is comes from
    the rows' slots, never from ids: padding with the end token cannot shift it.

    Args:
      config: The architecture, with a reward head.
      params: Of the reward model.
      rows: From `data.packing`.
    """
    states = _read(config, params, rows)
    everywhere = rewards(params, states.hidden)
    in_slots = jnp.take_along_axis(everywhere, jnp.asarray(rows.places), axis=1)
    sequences = jnp.asarray(rows.sequences)
    following = jnp.pad(sequences[:, 1:], ((0, 0), (0, 1)), constant_values=-1)
    at_ends = jnp.where(following != sequences, in_slots, 0.0)
    return RewardScores(sequence_sums(at_ends, rows), _balance(states))


def completion_rewards(
    config: TransformerConfig, params: Params, rows: PackedRows
) -> Float[Array, "N A"]:
    """The reward of each completion given its prompt, in nats.

    Args:
      config: The architecture, with a reward head.
      params: Of the reward model.
      rows: As for `score_rewards`.
    """
    return score_rewards(config, params, rows).rewards


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


def _read(config: TransformerConfig, params: Params, rows: PackedRows) -> HiddenStates:
    """One forward pass."""
    placed = jax.tree.map(jnp.asarray, rows)
    return hidden_states(
        config,
        params,
        placed.token_ids,
        placed.positions,
        placed.segment_ids,
        branches=placed.branches,
    )


def _balance(states: HiddenStates) -> Float[Array, ""]:
    routing = states.routing
    return load_balancing_loss(*routing) if routing else jnp.zeros(())


def logits_bytes(config: TransformerConfig, rows: PackedRows) -> int:
    """What logits take of each device at a time, in bytes: those of one chunk."""
    shape = rows.sources.shape
    rows_here, words_here = _share(config, shape[0])
    itemsize = wide(config.compute_dtype).itemsize
    return int(_chunk(config, shape) * rows_here * words_here * itemsize)


def _share(config: TransformerConfig, num_rows: int) -> tuple[float, float]:
    """Rows and words of one device."""
    shape = jax.sharding.get_abstract_mesh().shape  # empty where there is no mesh
    rows = num_rows / math.prod(shape.get(name, 1) for name in ("data", "fsdp"))
    return rows, config.vocab_size / shape.get("tensor", 1)


def _chunk(config: TransformerConfig, shape: tuple[int, ...]) -> int:
    """A device's slots of a row whose logits may exist at a time: all, if allowed."""
    num_slots = math.ceil(shape[1] / sequence_parts())  # of a device
    rows_here, words_here = _share(config, shape[0])
    allowed = _MAX_LOGITS / words_here
    if rows_here * num_slots <= allowed:
        return num_slots
    fewest, most = _CHUNK_TOKENS
    tokens = min(max(allowed, fewest), most)
    num_chunks = math.ceil(num_slots / max(1, int(tokens / rows_here)))
    return math.ceil(num_slots / num_chunks)  # evenly: what is padded is computed
