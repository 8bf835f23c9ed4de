"""Which dimensions of a parameter are the rows and the columns of its matrices.

Layers and experts are stacked: a parameter with axes `layers, embed, ffw` is as many
matrices as there are layers, and no statistic may mix them. Who is a row and who a
column follows from the names of the axes, not from their lengths, as T5X does it
(Roberts et al. 2022, arXiv:2203.17189): heads of any number are columns of one matrix.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Axes = tuple[str | None, ...]  # a name for each dimension

_STACKED = ("layers", "experts")
_ROWS = ("embed", "lora")  # the first that is there


class Sides(NamedTuple):
    """Dimensions of a parameter, by number; those of neither side are stacked."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def matrix_sides(axes: Axes, shape: tuple[int, ...], least: int) -> Sides | None:
    """The sides of a parameter's matrices; None if it is of vectors, or too small.

    Args:
      axes: Its logical axes.
      shape: Its lengths.
      least: Rows, and columns, that a matrix must have.
    """
    row = next((name for name in _ROWS if name in axes), None)
    own = own_dimensions(axes)
    rows = tuple(n for n in own if axes[n] == row)
    columns = tuple(n for n in own if axes[n] != row)
    lengths = [math.prod(shape[n] for n in side) for side in (rows, columns)]
    if not (rows and columns) or min(lengths) < least:
        return None
    return Sides(rows, columns)


def own_dimensions(axes: Axes) -> tuple[int, ...]:
    """The dimensions of one matrix or vector: all that are not stacked."""
    return tuple(n for n, name in enumerate(axes) if name not in _STACKED)


def root_mean_square(values: Float[Array, "..."], axes: Axes) -> Float[Array, "..."]:
    """Of each matrix or vector; dimensions are kept, with length 1."""
    return jnp.sqrt(
        jnp.mean(jnp.square(values), axis=own_dimensions(axes), keepdims=True)
    )
