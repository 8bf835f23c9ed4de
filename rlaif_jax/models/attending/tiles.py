"""Rows cut into blocks of tokens, and the list of blocks that read each other.

Shape letters: M blocks of a row, N blocks of all rows, W tokens of a block, A = G * W
queries of a block that read the same keys, C pairs of the list.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from rlaif_jax.models.attending.places import Places

CarryT = TypeVar("CarryT")

_MULTIPLE = 8  # of a block's length, in rows shorter than a whole one
_FAR = np.int32(1 << 29)  # beyond every position and segment


class Tiling(NamedTuple):
    """How work is cut, so that one part of it stays near the processor."""

    block: int  # tokens
    part_scores: int  # that are in memory at a time


# Measured on 2 CPU cores with benchmarks/attention.py; not measured on a GPU.
_TILINGS = {"cpu": Tiling(64, 1 << 18), "gpu": Tiling(128, 1 << 24)}


class Pairs(NamedTuple):
    """Blocks of queries, and the blocks of keys that they read; N is no block."""

    queries: Int[Array, " C"]
    keys: Int[Array, " C"]


class Work(NamedTuple):
    """The list of pairs, of which the first `num_parts` parts hold something."""

    pairs: Pairs
    num_parts: Int[Array, ""]
    size: int  # pairs of one part

    def through(self, add: Callable[[CarryT, Pairs], CarryT], start: CarryT) -> CarryT:
        """What `add` makes of `start` and each part in turn."""

        def step(index: Int[Array, ""], carry: CarryT) -> CarryT:
            first = index * self.size
            part = [
                jax.lax.dynamic_slice_in_dim(side, first, self.size)
                for side in self.pairs
            ]
            return add(carry, Pairs(*part))

        return jax.lax.fori_loop(0, self.num_parts, step, start)


def block_length(num_tokens: int, parts: int = 1) -> int:
    """Tokens of a block in rows of `num_tokens`, of which a device has its part."""
    longest = _TILINGS[jax.default_backend()].block
    return min(longest, -(-num_tokens // (_MULTIPLE * parts)) * _MULTIPLE)


def padded(x: Shaped[Array, "B T ..."], *, block: int) -> Shaped[Array, "B U ..."]:
    """The rows with zeros at their ends, up to whole blocks."""
    missing = -x.shape[1] % block
    return jnp.pad(x, ((0, 0), (0, missing), *[(0, 0)] * (x.ndim - 2)))


def in_tiles(x: Shaped[Array, "B T K *G H"], *, block: int) -> Shaped[Array, "N K A H"]:
    """Rows as blocks, with the query heads of one key/value head side by side."""
    (rows, length, kv_heads), width = x.shape[:3], x.shape[-1]
    cut = x.reshape(rows, length // block, block, kv_heads, -1, width)
    return cut.transpose(0, 1, 3, 4, 2, 5).reshape(
        rows * (length // block), kv_heads, -1, width
    )


def from_tiles(
    x: Shaped[Array, "N K A H"], *, rows: int, block: int
) -> Shaped[Array, "B T K G H"]:
    """What `in_tiles` cut, in rows again; keys and values with G = 1."""
    _, kv_heads, _, width = x.shape
    cut = x.reshape(rows, -1, kv_heads, x.shape[2] // block, block, width)
    whole = cut.transpose(0, 1, 4, 2, 3, 5)
    return whole.reshape(rows, -1, *whole.shape[3:])


def blocks_that_meet(
    places: Places, *, block: int, window: Int[Array, ""]
) -> Bool[Array, "B M M"]:
    """True where a query of block i may read a key of block j; never False if it may.

    Judged by each block's lowest and highest segment and position, branch by branch,
    so without looking at pairs of tokens. In rows of consecutive segments that is
    exact, but for blocks in which several segments or branches end.

    Args:
      places: Of rows in order, padded to whole blocks.
      block: Tokens of a block.
      window: Keys that a query sees at most.
    """
    ranges = [_ranges(places, block, branch) for branch in _branches(places)]
    num_blocks = ranges[0].low_segment.shape[1]
    meets = jnp.zeros((len(places.segments), num_blocks, num_blocks), bool)
    for branch, asking in enumerate(ranges):
        for asked in {0: ranges[0], branch: ranges[branch]}.values():
            meets |= _overlap(asking, asked, window)
    return meets & np.tri(num_blocks, dtype=bool)  # a later block has no earlier key


def list_pairs(meets: Bool[Array, "B Q M"], *, scores_of_pair: int) -> Work:
    """The pairs of blocks that meet, those of one block of queries side by side.

    Args:
      meets: From `blocks_that_meet`, of this device's Q blocks of queries.
      scores_of_pair: Of all heads; decides how many pairs make one part.
    """
    rows, num_queries, num_keys = meets.shape
    i, j = map(jnp.asarray, _candidates(num_queries, num_keys))
    budget = _TILINGS[jax.default_backend()].part_scores
    size = max(1, min(budget // scores_of_pair, rows * len(i)))
    capacity = -(-rows * len(i) // size) * size
    flags = meets[:, i, j].reshape(-1)
    (found,) = jnp.nonzero(flags, size=capacity, fill_value=flags.size)
    row, pair = found // len(i), found % len(i)
    pairs = Pairs(row * num_queries + i[pair], row * num_keys + j[pair])
    return Work(pairs, -(-jnp.sum(flags) // size), size)


def _candidates(num_queries: int, num_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks that may meet: of a whole row, none of keys that come later."""
    if num_queries == num_keys:
        return np.tril_indices(num_queries)
    i, j = np.indices((num_queries, num_keys)).reshape(2, -1)
    return i, j


class _Ranges(NamedTuple):
    """Between which values the tokens of each block lie; empty is high below low."""

    low_segment: Int[Array, "B M"]
    high_segment: Int[Array, "B M"]
    low_position: Int[Array, "B M"]
    high_position: Int[Array, "B M"]


def _branches(places: Places) -> tuple[int | None, ...]:
    return (None,) if places.branches is None else (0, 1, 2)


def _ranges(places: Places, block: int, branch: int | None) -> _Ranges:
    """Of the text of one branch; of all text if None."""
    counts = places.segments > 0
    if places.branches is not None:
        counts &= places.branches == branch
    ranges = []
    for part in (places.segments, places.positions):
        low, high = jnp.where(counts, part, _FAR), jnp.where(counts, part, -_FAR)
        shape = (len(part), -1, block)
        ranges += [low.reshape(shape).min(-1), high.reshape(shape).max(-1)]
    return _Ranges(*ranges)


def _overlap(
    asking: _Ranges, asked: _Ranges, window: Int[Array, ""]
) -> Bool[Array, "B M M"]:
    """Whether queries with one range may read keys with the other."""
    low, high, first, last = (part[:, :, None] for part in asking)
    key_low, key_high, key_first, key_last = (part[:, None, :] for part in asked)
    is_near = (last >= key_first) & (first - key_last < window)
    return (low <= key_high) & (high >= key_low) & is_near
