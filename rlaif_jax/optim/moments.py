"""Moments kept in 8 bits (after Dettmers et al. 2021, arXiv:2110.02861).

A matrix's values are divided by the smaller of their row's and their column's largest,
which is "rank-1 normalization" (Li et al. 2023, arXiv:2309.01507, section 4.2): a
single outlier spoils no other value, and unlike with blocks along one dimension every
code lies where its parameter does, however many devices share that dimension.

The codes are evenly spaced in the square root of the first moment and in the fourth
root of the second, as small values must not become 0. They are rounded
stochastically: an average that changes by a thousandth a step, as with b2=0.999, is
otherwise rounded back for ever.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Float32, Int, Shaped, UInt16

from rlaif_jax.optim.matrices import Sides, matrix_sides
from rlaif_jax.optim.rounding import rounding_key, uniform_bits

_LEAST = 8  # rows and columns; of less, the largest take more room than is saved


class Codes(NamedTuple):
    """A matrix in 8 bits, and the largest magnitude of each row and column."""

    codes: Shaped[Array, "..."]
    rows: Float32[Array, "..."]
    columns: Float32[Array, "..."]


class CodedState(NamedTuple):
    """The state of an optimizer with moments in 8 bits."""

    step: Int[Array, ""]
    inner: Any  # its state, with `Codes` for matrices


class Scale(NamedTuple):
    """How a fraction in [0, 1] is coded: as `(code / top) ** 2 ** roots`.

    Attributes:
      dtype: Of the codes.
      roots: Square roots that are taken, one after the other.
      keeps_positive: Whether what is above 0 never becomes 0.
    """

    dtype: str
    roots: int
    keeps_positive: bool

    @property
    def top(self) -> int:
        """The code of 1."""
        return int(jnp.iinfo(self.dtype).max)

    def value(self, code: Float32[Array, "..."]) -> Float32[Array, "..."]:
        """The fraction that a code stands for."""
        fraction = code / self.top
        for _ in range(self.roots):
            fraction = jnp.square(fraction)
        return fraction

    def code(
        self, fraction: Float32[Array, "*B"], random: UInt16[Array, "*B"]
    ) -> Float32[Array, "*B"]:
        """One of the two neighbouring codes, so that their mean is the fraction."""
        place = fraction
        for _ in range(self.roots):
            place = jnp.sqrt(place)
        low = jnp.clip(jnp.floor(place * self.top), 0, self.top - 1)
        below, above = self.value(low), self.value(low + 1)
        drawn = (random.astype(jnp.float32) + 0.5) / 2**16
        code = low + (drawn * (above - below) < fraction - below)
        if self.keeps_positive:  # as a divisor, 0 would be far from it
            code = jnp.where(fraction > 0, jnp.maximum(code, 1), code)
        return code


FIRST = Scale("int8", roots=1, keeps_positive=False)
SECOND = Scale("uint8", roots=2, keeps_positive=True)
_SCALES = {"mu": FIRST, "nu": SECOND}  # as optax names them


def encode(
    values: Float32[Array, "*B"],
    sides: Sides,
    *,
    scale: Scale,
    random: UInt16[Array, "*B"],
) -> Codes:
    """Matrices in 8 bits; the error is less than the distance of neighbouring codes.

    Args:
      values: Not below 0 if the scale's dtype is unsigned.
      sides: Their rows and columns.
      scale: Of the fractions.
      random: Which way to round, uniform.
    """
    largest = _largest(values, sides)
    whole = _whole(largest, sides)
    fraction = jnp.abs(values) / jnp.where(whole > 0, whole, 1.0)
    code = jnp.copysign(scale.code(fraction, random), values)
    return largest._replace(codes=code.astype(scale.dtype))


def decode(coded: Codes, sides: Sides, *, scale: Scale) -> Float32[Array, "..."]:
    """The values that codes stand for."""
    code = coded.codes.astype(jnp.float32)
    return jnp.copysign(scale.value(jnp.abs(code)), code) * _whole(coded, sides)


def in_int8(
    inner: optax.GradientTransformation, *, axes: Any, seed: int
) -> optax.GradientTransformation:
    """An optimizer that keeps the moments of matrices in 8 bits between updates.

    Vectors, and matrices with fewer than 8 rows or columns, stay in float32. An
    update is computed in float32, with moments that are not rounded yet.

    Args:
      inner: Its state has moments `mu` or `nu`.
      axes: A tree of the parameters' logical axes.
      seed: Of the rounding, which is a function of it, of the number of updates and
        of the place alone.
    """

    def init(params: Any) -> CodedState:
        def start(param: Any, kind: _Kind) -> Codes:
            empty = jax.tree.map(jnp.zeros_like, _largest(param, kind.sides))
            return empty._replace(codes=jnp.zeros_like(param, kind.scale.dtype))

        state = _changed(inner.init(params), params, axes, start)
        return CodedState(jnp.zeros((), jnp.int32), state)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, CodedState]:
        def read(coded: Any, kind: _Kind) -> Float[Array, "..."]:
            return decode(coded, kind.sides, scale=kind.scale)

        def keep(values: Any, kind: _Kind) -> Codes:
            key = rounding_key(seed, state.step, kind=kind.number, place=kind.place)
            random = uniform_bits(key, values)
            return encode(values, kind.sides, scale=kind.scale, random=random)

        before = _changed(state.inner, updates, axes, read)
        updates, after = inner.update(updates, before, params)
        after = _changed(after, updates, axes, keep)
        return updates, CodedState(state.step + 1, after)

    return optax.GradientTransformation(init, update)


class _Kind(NamedTuple):
    """What is known of a moment."""

    scale: Scale
    sides: Sides
    number: int  # of its kind, from 1
    place: int  # among the moments of its kind


def _changed(
    state: Any, like: Any, axes: Any, change: Callable[[Any, _Kind], Any]
) -> Any:
    """The state with another form of every matrix's moments."""
    leaves, structure = jax.tree.flatten(like)
    named = zip(leaves, structure.flatten_up_to(axes), strict=True)
    sides = [matrix_sides(names, leaf.shape, _LEAST) for leaf, names in named]
    for number, (name, scale) in enumerate(_SCALES.items(), start=1):
        if name in state._fields:
            moments = structure.flatten_up_to(getattr(state, name))
            for place, side in enumerate(sides):
                if side is not None:
                    kind = _Kind(scale, side, number, place)
                    moments[place] = change(moments[place], kind)
            state = state._replace(**{name: structure.unflatten(moments)})
    return state


def _largest(values: Float[Array, "..."], sides: Sides) -> Codes:
    """The largest magnitudes, with the values in place of codes."""
    size = jnp.abs(values)
    return Codes(values, size.max(sides.columns), size.max(sides.rows))


def _whole(coded: Codes, sides: Sides) -> Float32[Array, "..."]:
    """What a fraction of 1 stands for, everywhere."""
    return jnp.minimum(
        jnp.expand_dims(coded.rows, sides.columns),
        jnp.expand_dims(coded.columns, sides.rows),
    )
