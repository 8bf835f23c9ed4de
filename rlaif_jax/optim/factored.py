"""Adafactor's parts (Shazeer and Stern 2018, arXiv:1804.04235), matrix by matrix.

optax factors the two longest dimensions of an array, and clips by a whole array: of
stacked layers these would mix what belongs to different layers. Here every matrix of
a parameter, as `matrices` finds them, is as if it were alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from rlaif_jax.optim.matrices import Axes, Sides, matrix_sides, root_mean_square

_LEAST_SCALE = 1e-3  # of a matrix; its section 5, epsilon_2


class Factors(NamedTuple):
    """Running means of squared gradients, over a matrix's other side."""

    rows: Float[Array, "..."]
    columns: Float[Array, "..."]


class FactoredState(NamedTuple):
    """What Adafactor remembers.

    Attributes:
      step: Updates done.
      squares: Like the parameters: `Factors` of matrices, and of all else every
        square's mean.
    """

    step: Int[Array, ""]
    squares: Any


def scale_by_factored_rms(
    axes: Any, *, decay: float, eps: float, least: int
) -> optax.GradientTransformation:
    """Gradients over the root of their mean squares, kept as rows times columns.

    Algorithm 4 with the decay of section 7.2: at update t the mean forgets all but
    1 - t^-decay, so that the first is not biased.

    Args:
      axes: A tree of the parameters' logical axes.
      decay: How fast the mean comes to remember, in (0, 1].
      eps: Added to each square.
      least: Rows, and columns, of a matrix that is factored.
    """

    def init(params: Any) -> FactoredState:
        def start(param: Float[Array, "..."], names: Axes) -> Any:
            sides = matrix_sides(names, param.shape, least)
            if sides is None:
                return jnp.zeros_like(param)
            return jax.tree.map(jnp.zeros_like, _means(param, sides))

        squares = jax.tree.map(start, params, axes)
        return FactoredState(jnp.zeros((), jnp.int32), squares)

    def update(
        updates: Any, state: Any, params: Any = None
    ) -> tuple[Any, FactoredState]:
        del params
        step = state.step + 1
        share = step.astype(jnp.float32) ** -decay
        leaves, structure = jax.tree.flatten(updates)
        named = structure.flatten_up_to(axes)
        before = structure.flatten_up_to(state.squares)
        scaled, after = [], []
        for grad, names, old in zip(leaves, named, before, strict=True):
            sides = matrix_sides(names, grad.shape, least)
            new: Any = jnp.square(grad) + eps
            if sides is not None:
                new = _means(new, sides)
            new = optax.incremental_update(new, old, share)
            after.append(new)
            scale = jax.lax.rsqrt(new) if sides is None else _rsqrt(new, sides)
            scaled.append(grad * scale)
        state = FactoredState(step, structure.unflatten(after))
        return structure.unflatten(scaled), state

    return optax.GradientTransformation(init, update)


def clip_by_matrix_rms(axes: Any, threshold: float) -> optax.GradientTransformation:
    """Updates scaled so that no matrix's root mean square is above `threshold`.

    Section 6.
    """

    def clipped(update: Float[Array, "..."], names: Axes) -> Float[Array, "..."]:
        return update / jnp.maximum(1.0, root_mean_square(update, names) / threshold)

    return optax.stateless(lambda updates, _: jax.tree.map(clipped, updates, axes))


def scale_by_matrix_rms(axes: Any) -> optax.GradientTransformation:
    """Updates times the root mean square of each matrix's weights; section 8."""

    def scaled(
        update: Float[Array, "..."], weight: Float[Array, "..."], names: Axes
    ) -> Float[Array, "..."]:
        return update * jnp.maximum(root_mean_square(weight, names), _LEAST_SCALE)

    return optax.stateless(
        lambda updates, params: jax.tree.map(scaled, updates, params, axes)
    )


def _means(squares: Float[Array, "..."], sides: Sides) -> Factors:
    """Over columns and over rows."""
    return Factors(squares.mean(sides.columns), squares.mean(sides.rows))


def _rsqrt(factors: Factors, sides: Sides) -> Float[Array, "..."]:
    """One over the root of rows times columns over their mean."""
    rows = jnp.expand_dims(factors.rows, sides.columns)
    columns = jnp.expand_dims(factors.columns, sides.rows)
    rows = rows / rows.mean(sides.rows, keepdims=True)
    return jax.lax.rsqrt(rows) * jax.lax.rsqrt(columns)
