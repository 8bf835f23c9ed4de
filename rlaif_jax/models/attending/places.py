"""Where the tokens of a row stand, and the one mask that follows from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Places(NamedTuple):
    """All that the mask knows of a row's tokens.

    A row may hold pairs as prompt, chosen, rejected, the prompt once for both: then
    `branches` tells the three apart, and the positions of the rejected start again
    where the prompt ends.
    """

    positions: Int[Array, "B T"]  # within the segment, and branch
    segments: Int[Array, "B T"]  # from 1; 0 is padding or an empty cache slot
    branches: Int[Array, "B T"] | None = None  # 0 prompt, 1 chosen, 2 rejected


def attention_mask(
    queries: Places, keys: Places, *, window: int | Int[Array, ""] | None
) -> Bool[Array, "B T S"]:
    """True where query t may read key s: the only definition in the package.

    Same segment, not later, with a window q - kv < window, and with branches a key of
    the prompt or of the query's own branch. Training, prefill and decoding differ only
    in the arrays that they pass, never in the rule. Padding is segment 0, so it sees
    padding alone, and no text sees it.

    Args:
      queries: Of each query.
      keys: Of each key, with branches if the queries have them.
      window: Keys that a query sees at most, itself included; None is all.
    """
    distance = queries.positions[:, :, None] - keys.positions[:, None, :]
    allowed = queries.segments[:, :, None] == keys.segments[:, None, :]
    allowed = allowed & (distance >= 0)
    if queries.branches is not None and keys.branches is not None:
        branch = keys.branches[:, None, :]
        allowed = allowed & ((branch == 0) | (branch == queries.branches[:, :, None]))
    return allowed if window is None else allowed & (distance < window)


def is_in_row_order(places: Places) -> Bool[Array, " B"]:
    """True of rows in which the order of tokens says what their positions say.

    That is: each segment is one run, numbered higher than those before it; positions
    go up by one; prompt, chosen and rejected follow each other, and both completions
    start where the prompt ends. All backends but "xla" rely on it.
    """
    before = jax.tree.map(lambda part: jnp.pad(part, ((0, 0), (1, 0)))[:, :-1], places)
    is_text = places.segments > 0
    goes_on = is_text & (places.segments == before.segments)
    highest = jax.lax.cummax(before.segments, axis=1)
    is_fine = jnp.where(is_text & ~goes_on, places.segments > highest, True)
    step = before.positions + 1
    if places.branches is not None and before.branches is not None:
        is_fine &= jnp.where(goes_on, places.branches >= before.branches, True)
        forks = goes_on & (places.branches > before.branches)
        step = jnp.where(forks, _prompt_lengths(places), step)
    is_fine &= jnp.where(goes_on, places.positions == step, True)
    return jnp.all(is_fine, axis=1)


def or_nan(
    x: Float[Array, "B ..."], is_fit: Bool[Array, " B"]
) -> Float[Array, "B ..."]:
    """The rows that are fit, and NaN for the others.

    Values inside compiled code can raise nothing. A loss of NaN is noticed; a mask
    that was silently another is not.
    """
    return jnp.where(is_fit.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.nan)


def _prompt_lengths(places: Places) -> Int[Array, "B T"]:
    """Of each token's own segment, as far as it was seen up to the token."""
    columns = jnp.arange(places.segments.shape[1])
    is_prompt = (places.branches == 0) & (places.segments > 0)
    newest = jax.lax.cummax(jnp.where(is_prompt, columns, 0), axis=1)
    ends = jnp.where(is_prompt, places.positions + 1, 0)
    lengths, owners = (
        jnp.take_along_axis(part, newest, axis=1) for part in (ends, places.segments)
    )
    return jnp.where(owners == places.segments, lengths, 0)
