"""New tokens for one batch of prompts: a prefill, then a loop, in one compiled call.

Further shape letters: `P` slots of a padded prompt, `N` slots of new tokens.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from rlaif_jax.models import (
    KVCache,
    Params,
    TransformerConfig,
    hidden_states,
    init_cache,
    unembed,
)
from rlaif_jax.sampling.select import Selection, select_tokens


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """When a row is complete; hashable, so it can be a static argument of `jit`."""

    end_ids: tuple[int, ...]  # tokens that end a completion and are no part of it
    max_new_tokens: int  # chosen in one row, the end token included

    def __post_init__(self):
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens {self.max_new_tokens} is not positive")


class PromptBatch(NamedTuple):
    """Prompts padded on the right; a row of length 0 is a dummy."""

    token_ids: Int[Array, "B P"]
    lengths: Int[Array, " B"]
    row_hashes: UInt32[Array, " B"]  # of the row's name: its share of the randomness
    sample_indices: Int[Array, " B"]  # tells several completions of one row apart


class Decoded(NamedTuple):
    """New tokens, aligned on the left; beyond `num_tokens` they mean nothing."""

    token_ids: Int[Array, "B N"]
    num_tokens: Int[Array, " B"]  # without the end token
    is_stopped: Bool[Array, " B"]  # an end token came, or the row is a dummy


class _Progress(NamedTuple):
    """The loop's state."""

    step: Int[Array, ""]  # tokens chosen so far, for every row
    token: Int[Array, " B"]  # the last one chosen
    decoded: Decoded
    cache: KVCache

    def accept(self, token: Int[Array, " B"], end_ids: tuple[int, ...]) -> "_Progress":
        """Writes down the next token of every row that has not stopped."""
        decoded = self.decoded
        is_end = jnp.isin(token, jnp.array(end_ids, token.dtype))
        is_text = ~decoded.is_stopped & ~is_end
        token_ids = jax.lax.dynamic_update_slice(
            decoded.token_ids, token[:, None], (0, self.step)
        )
        return self._replace(
            step=self.step + 1,
            token=token,
            decoded=Decoded(
                token_ids=token_ids,
                num_tokens=decoded.num_tokens + is_text,
                is_stopped=decoded.is_stopped | is_end,
            ),
        )


def row_keys(
    seed: Int[Array, ""],
    row_hashes: UInt32[Array, " B"],
    sample_indices: Int[Array, " B"],
) -> Key[Array, " B"]:
    """A key a row from its own name alone.

    So a row draws the same tokens in any batch, order and number of devices, and a
    run that continues another gives what the other would have given.
    """
    key = jax.random.key(seed)
    fold = jax.vmap(jax.random.fold_in)
    return fold(jax.vmap(partial(jax.random.fold_in, key))(row_hashes), sample_indices)


def decode(
    config: TransformerConfig,
    params: Params,
    batch: PromptBatch,
    seed: Int[Array, ""],
    *,
    selection: Selection,
    stopping: Stopping,
) -> Decoded:
    """Completes every prompt until all rows have stopped or the room is used up.

    New tokens take the cache slots from P on in every row, while their positions go
    on from the row's own prompt; padding keeps segment 0 and is never read. Call it
    inside `jit`, with everything static but `params`, `batch` and `seed`.

    Args:
      config: The architecture.
      params: Its parameters.
      batch: The prompts.
      seed: Of all randomness, with the rows' names.
      selection: How a token is chosen.
      stopping: When a row is complete.
    """
    keys = row_keys(seed, batch.row_hashes, batch.sample_indices)
    segment_ids = (batch.lengths > 0).astype(jnp.int32)[:, None]

    def choose(hidden: Float[Array, "B D"], step: Int[Array, ""]) -> Int[Array, " B"]:
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        return select_tokens(unembed(config, params, hidden), step_keys, selection)

    def has_work(progress: _Progress) -> Bool[Array, ""]:
        is_running = jnp.any(~progress.decoded.is_stopped)
        return is_running & (progress.step < stopping.max_new_tokens)

    def advance(progress: _Progress) -> _Progress:
        token = progress.token[:, None]
        positions = (batch.lengths + progress.step - 1)[:, None]
        hidden, cache, _ = hidden_states(
            config, params, token, positions, segment_ids, progress.cache
        )
        chosen = choose(hidden[:, 0], progress.step)
        return progress._replace(cache=cache).accept(chosen, stopping.end_ids)

    # the last token chosen needs no slot: nothing reads it
    slots = batch.token_ids.shape[1] + stopping.max_new_tokens - 1
    hidden, cache = _prefill(config, params, batch, slots)
    start = _start(cache, batch.lengths > 0, stopping.max_new_tokens)
    first = start.accept(choose(hidden, start.step), stopping.end_ids)
    return jax.lax.while_loop(has_work, advance, first).decoded


def _prefill(
    config: TransformerConfig, params: Params, batch: PromptBatch, slots: int
) -> tuple[Float[Array, "B D"], KVCache]:
    """Each prompt's last state, and the cache that holds the prompts."""
    rows, width = batch.token_ids.shape
    positions = jnp.broadcast_to(jnp.arange(width), (rows, width))
    segment_ids = (positions < batch.lengths[:, None]).astype(jnp.int32)
    empty = init_cache(config, rows, slots, config.compute_dtype)
    hidden, cache, _ = hidden_states(
        config, params, batch.token_ids, positions, segment_ids, empty
    )
    assert cache is not None  # one went in
    last = jnp.maximum(batch.lengths - 1, 0)
    return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0], cache


def _start(
    cache: KVCache, is_real: Bool[Array, " B"], max_new_tokens: int
) -> _Progress:
    """The state before the first token."""
    none = jnp.zeros_like(is_real, jnp.int32)
    token_ids = jnp.zeros((len(is_real), max_new_tokens), jnp.int32)
    decoded = Decoded(token_ids, num_tokens=none, is_stopped=~is_real)
    return _Progress(jnp.zeros((), jnp.int32), none, decoded, cache)
