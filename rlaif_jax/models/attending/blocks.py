"""Scores only where a block of queries may read a block of keys: "blocks".

Packed rows leave most scores of a row masked. Here a list of (query block, key block)
is made from the tokens' places and worked off part by part with a running softmax, as
in flash attention (Dao et al. 2022, arXiv:2205.14135): time follows the list, memory
one part of it, and neither follows T². The backward keeps one number a query, the
logarithm of its softmax's denominator, and computes the scores again.

Shape letters: those of `tiles`, and P pairs of one part.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int, Shaped

from rlaif_jax.models.activations import SEQUENCE_AXIS, sequence_parts
from rlaif_jax.models.attending.places import (
    Places,
    attention_mask,
    is_in_row_order,
    or_nan,
)
from rlaif_jax.models.attending.rule import Heads, Rule
from rlaif_jax.models.attending.split import (
    EVERYWHERE,
    HEADS,
    QUERIES,
    ROWS,
    TOKENS,
    by_rows_and_heads,
)
from rlaif_jax.models.attending.tiles import (
    Pairs,
    Work,
    block_length,
    blocks_that_meet,
    from_tiles,
    in_tiles,
    list_pairs,
    padded,
)
from rlaif_jax.models.precision import wide
from rlaif_jax.models.remat import ATTENTION

_NONE_YET = -1e30  # below every score, and finite: a difference of two is no NaN
_ANY = np.int32(np.iinfo(np.int32).max)  # a window that hides nothing


class Reading(NamedTuple):
    """What reads what; arrays only, so that a layer can select one of two."""

    queries: Places  # padded to whole blocks
    keys: Places  # the same; of all a row's tokens on every device
    meets: Bool[Array, "B M M"]
    window: Int[Array, ""]
    is_fit: Bool[Array, " B"]


_SPECS = Reading._make((TOKENS, ROWS, TOKENS, EVERYWHERE, ROWS))


def prepare(places: Places, rule: Rule) -> Reading:
    """Finds the blocks that have something to read.

    Args:
      places: Of rows in order (`is_in_row_order`); other rows become NaN.
      rule: The window.
    """
    length, parts = places.segments.shape[1], sequence_parts()
    block = block_length(length, parts)
    whole = jax.tree.map(partial(padded, block=block * parts), places)
    window = jnp.asarray(_ANY if rule.window is None else rule.window, jnp.int32)
    meets = blocks_that_meet(whole, block=block, window=window)
    return Reading(whole, whole, meets, window, is_in_row_order(places))


def read(heads: Heads, reading: Reading, rule: Rule) -> Float[Array, "B T K G H"]:
    """What each query reads, as the dense backend would; 0 on padding.

    Args:
      heads: Queries, keys and values of the same tokens.
      reading: From `prepare`.
      rule: Scale and soft cap.
    """
    length, parts = heads.q.shape[1], sequence_parts()
    multiple = block_length(length, parts) * parts
    scaled = heads._replace(q=heads.q * rule.scale)
    whole = Heads(*(padded(part, block=multiple) for part in scaled))
    mixed: Array = _read(whole, reading, rule.softcap)
    return or_nan(mixed[:, :length], reading.is_fit)


class _Result(NamedTuple):
    """What is read, and the logarithm of each softmax's denominator."""

    mixed: Float[Array, "B T K G H"]
    log_total: Float[Array, "B T K G 1"]  # infinite where nothing is read


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _read(
    heads: Heads, reading: Reading, softcap: float | None
) -> Float[Array, "B T K G H"]:
    return _forward(heads, reading, softcap).mixed


def _forward(heads: Heads, reading: Reading, softcap: float | None) -> _Result:
    here = partial(_forward_here, softcap=softcap)
    return by_rows_and_heads(here, (HEADS, _SPECS), QUERIES)(heads, reading)


def _read_and_save(
    heads: Heads, reading: Reading, softcap: float | None
) -> tuple[Float[Array, "B T K G H"], tuple[Heads, Reading, _Result]]:
    result = checkpoint_name(_forward(heads, reading, softcap), ATTENTION)
    return result.mixed, (heads, reading, result)


def _gradients(
    softcap: float | None,
    saved: tuple[Heads, Reading, _Result],
    cotangent: Float[Array, "B T K G H"],
) -> tuple[Heads, None]:
    here = partial(_backward_here, softcap=softcap)
    specs = (HEADS, _SPECS, QUERIES, QUERIES)
    given = Heads._make((QUERIES, QUERIES, QUERIES))
    return by_rows_and_heads(here, specs, given)(*saved, cotangent), None


_read.defvjp(_read_and_save, _gradients)


class _Tiles(NamedTuple):
    """The device's heads and places, block by block."""

    q: Float[Array, "N K A H"]
    k: Float[Array, "N K W H"]
    v: Float[Array, "N K W H"]
    query_places: Places
    key_places: Places
    window: Int[Array, ""]

    @classmethod
    def of(cls, heads: Heads, reading: Reading) -> "_Tiles":
        """The rows cut into blocks."""
        block = block_length(heads.q.shape[1])
        asking, asked = jax.tree.map(
            lambda part: part.reshape(-1, block), (reading.queries, reading.keys)
        )
        q, k, v = (in_tiles(part, block=block) for part in heads)
        return cls(q, k, v, asking, asked, reading.window)

    def work(self, reading: Reading) -> Work:
        """The list of pairs of blocks."""
        scores = self.q.shape[1] * self.q.shape[2] * self.k.shape[2]
        return list_pairs(reading.meets, scores_of_pair=scores)

    def scores(self, pairs: Pairs, softcap: float | None) -> Float[Array, "P K A W"]:
        """The scores of some pairs of blocks, in float32, whether they count or not."""
        q, k = _take(self.q, pairs.queries), _take(self.k, pairs.keys)
        scores = jnp.einsum(
            "pkah,pkwh->pkaw", q, k, preferred_element_type=wide(k.dtype)
        )
        return scores if softcap is None else softcap * jnp.tanh(scores / softcap)

    def mask(self, pairs: Pairs) -> Bool[Array, "P 1 A W"]:
        """True where a score counts: never of padding, never of no block."""
        queries = jax.tree.map(partial(_take, at=pairs.queries), self.query_places)
        keys = jax.tree.map(partial(_take, at=pairs.keys), self.key_places)
        is_text = (queries.segments > 0) & (pairs.queries < len(self.q))[:, None]
        mask = attention_mask(queries, keys, window=self.window) & is_text[:, :, None]
        groups = self.q.shape[2] // self.k.shape[2]
        return jnp.tile(mask, (1, groups, 1))[:, None]


class _Running(NamedTuple):
    """A softmax in the making."""

    highest: Float[Array, "N K A 1"]  # score so far
    total: Float[Array, "N K A 1"]  # of exp(score - highest)
    mixed: Float[Array, "N K A H"]  # values, weighted by the same


def _forward_here(heads: Heads, reading: Reading, softcap: float | None) -> _Result:
    """What this device's rows and heads read."""
    tiles = _Tiles.of(heads, reading)
    zeros = jnp.zeros(tiles.q.shape, wide(tiles.q.dtype))
    start = _Running(zeros[..., :1] + _NONE_YET, zeros[..., :1], zeros)
    end = tiles.work(reading).through(partial(_add_values, tiles, softcap), start)
    is_read = end.total > 0
    total = jnp.where(is_read, end.total, 1.0)
    mixed = (end.mixed / total).astype(heads.v.dtype)
    log_total = jnp.where(is_read, end.highest + jnp.log(total), jnp.inf)
    rows = partial(from_tiles, rows=len(heads.q), block=tiles.k.shape[2])
    return _Result(rows(mixed), rows(log_total))


def _add_values(
    tiles: _Tiles, softcap: float | None, running: _Running, pairs: Pairs
) -> _Running:
    """The softmax with some more pairs of blocks in it.

    Several of them may be of one block of queries: each then sums over all of these,
    and all write the same.
    """
    scores = jnp.where(tiles.mask(pairs), tiles.scores(pairs, softcap), -jnp.inf)
    is_same = pairs.queries[:, None] == pairs.queries[None, :]
    before = _Running(*(_take(part, pairs.queries) for part in running))
    highest = jnp.max(scores, axis=-1, keepdims=True)
    highest = jnp.where(is_same[..., None, None, None], highest, _NONE_YET)
    highest = jnp.maximum(before.highest, jnp.max(highest, axis=1))
    weights = jnp.exp(scores - highest)
    mixed = _product("pkaw,pkwh->pkah", weights, _take(tiles.v, pairs.keys))
    kept = jnp.exp(before.highest - highest)
    shared = is_same.astype(scores.dtype)
    total = jnp.tensordot(shared, jnp.sum(weights, axis=-1, keepdims=True), 1)
    mixed = before.mixed * kept + jnp.tensordot(shared, mixed, 1)
    after = _Running(highest, before.total * kept + total, mixed)
    return _Running(
        *(
            old.at[pairs.queries].set(new, mode="drop")
            for old, new in zip(running, after, strict=True)
        )
    )


class _Back(NamedTuple):
    """What the backward knows of each query."""

    cotangent: Float[Array, "N K A H"]
    inner: Float[Array, "N K A 1"]  # cotangent times what was read
    log_total: Float[Array, "N K A 1"]


def _backward_here(
    heads: Heads,
    reading: Reading,
    result: _Result,
    cotangent: Float[Array, "B T K G H"],
    softcap: float | None,
) -> Heads:
    """The gradients of this device's rows and heads (arXiv:2205.14135, appendix B)."""
    tiles = _Tiles.of(heads, reading)
    read = result.mixed.astype(wide(cotangent.dtype)) * cotangent
    inner = jnp.sum(read, axis=-1, keepdims=True)
    block = tiles.k.shape[2]
    rows = partial(from_tiles, rows=len(heads.q), block=block)
    parts = (cotangent, inner, result.log_total)
    back = _Back(*(in_tiles(part, block=block) for part in parts))
    start = Heads(*(jnp.zeros(t.shape, wide(t.dtype)) for t in tiles[:3]))
    add = partial(_add_gradients, tiles, back, softcap)
    sums = tiles.work(reading).through(add, start)
    dq, dk, dv = (
        rows(gradient).reshape(part.shape)
        for gradient, part in zip(sums, heads, strict=True)
    )
    whole = Heads(dq, _own_tokens(dk), _own_tokens(dv))
    return jax.tree.map(lambda x, part: x.astype(part.dtype), whole, heads)


def _own_tokens(gradient: Float[Array, "B S K H"]) -> Float[Array, "B T K H"]:
    """Of keys that several devices' queries read: the sum, for this device's tokens."""
    if sequence_parts() == 1:
        return gradient
    return jax.lax.psum_scatter(
        gradient, SEQUENCE_AXIS, scatter_dimension=1, tiled=True
    )


def _add_gradients(
    tiles: _Tiles, back: _Back, softcap: float | None, sums: Heads, pairs: Pairs
) -> Heads:
    """The gradients with those of some more pairs of blocks."""
    q = _take(tiles.q, pairs.queries)
    k, v = _take(tiles.k, pairs.keys), _take(tiles.v, pairs.keys)
    given = _Back(*(_take(part, pairs.queries) for part in back))
    scores = tiles.scores(pairs, softcap)
    weights = jnp.where(tiles.mask(pairs), jnp.exp(scores - given.log_total), 0.0)
    slope = weights * (_product("pkah,pkwh->pkaw", given.cotangent, v) - given.inner)
    if softcap is not None:  # of softcap * tanh
        slope = slope * (1.0 - (scores / softcap) ** 2)
    dq = _product("pkaw,pkwh->pkah", slope, k)
    dk = _product("pkaw,pkah->pkwh", slope, q)
    dv = _product("pkaw,pkah->pkwh", weights, given.cotangent)
    return Heads(
        sums.q.at[pairs.queries].add(dq, mode="drop"),
        sums.k.at[pairs.keys].add(dk, mode="drop"),
        sums.v.at[pairs.keys].add(dv, mode="drop"),
    )


def _product(
    subscripts: str, x: Float[Array, "..."], y: Float[Array, "..."]
) -> Float[Array, "..."]:
    """A product in y's precision, summed in float32."""
    return jnp.einsum(
        subscripts, x.astype(y.dtype), y, preferred_element_type=wide(y.dtype)
    )


def _take(x: Shaped[Array, "N ..."], at: Int[Array, " P"]) -> Shaped[Array, "P ..."]:
    """Some blocks; any block where there is none."""
    return jnp.take(x, at, axis=0, mode="clip")
