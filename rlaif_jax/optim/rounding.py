"""Stochastic rounding, and optimizers of weights that are kept in bfloat16."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, BFloat16, Float, Float32, Int, Key, UInt16


class RoundedState(NamedTuple):
    """The state of an optimizer whose updates are rounded."""

    step: Int[Array, ""]
    inner: Any


def stochastic_bfloat16(
    values: Float32[Array, "*B"], random: UInt16[Array, "*B"]
) -> BFloat16[Array, "*B"]:
    """Either neighbour of each value in bfloat16, with their mean the value itself.

    A bfloat16 is the upper half of a float32. A uniform number is added to the lower
    half, and this is cut off: it carries with the probability that is the distance to
    the lower neighbour (Gupta et al. 2015, arXiv:1502.02551, section 3). To nearest,
    an update of less than 1/512 of its weight would always be lost.

    Args:
      values: Exact; what is not finite stays as it is.
      random: Uniform, of their own for each value.
    """
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32)
    upper = ((bits + random.astype(jnp.uint32)) >> 16).astype(jnp.uint16)
    rounded = jax.lax.bitcast_convert_type(upper, jnp.bfloat16)
    return jnp.where(jnp.isfinite(values), rounded, values.astype(jnp.bfloat16))


def rounding_key(
    seed: int, step: Int[Array, ""], *, kind: int, place: int
) -> Key[Array, ""]:
    """The key of one update of one array, whatever devices hold it.

    Args:
      seed: Of the run.
      step: Updates done.
      kind: What is rounded: 0 for weights, another number for each moment.
      place: The array's among those of its tree.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    for number in (step, kind, place):
        key = jax.random.fold_in(key, number)
    return key


def uniform_bits(key: Key[Array, ""], like: Float[Array, "*B"]) -> UInt16[Array, "*B"]:
    """16 random bits for each value, made where the value is."""
    return jax.random.bits(key, like.shape, jnp.uint16)


def in_bfloat16(
    inner: optax.GradientTransformation, *, seed: int
) -> optax.GradientTransformation:
    """An optimizer of bfloat16 weights that computes in float32.

    Gradients and weights are widened, and updates are such that weight and update add
    up to the stochastic rounding of the exact sum. (Where one step makes a weight
    2^15 times smaller, to within a unit in its last place.) Which way a weight is
    rounded is a function of seed, number of updates and place alone.

    Args:
      inner: Everything but the rounding.
      seed: Of the rounding.
    """

    def init(params: Any) -> RoundedState:
        return RoundedState(jnp.zeros((), jnp.int32), inner.init(_wide(params)))

    def update(
        updates: Any, state: Any, params: Any = None
    ) -> tuple[Any, RoundedState]:
        weights = _wide(params)
        updates, after = inner.update(_wide(updates), state.inner, weights)
        leaves, structure = jax.tree.flatten(weights)
        changes = structure.flatten_up_to(updates)
        changed = []
        for place, (weight, change) in enumerate(zip(leaves, changes, strict=True)):
            key = rounding_key(seed, state.step, kind=0, place=place)
            changed.append(_rounded_step(weight, change, key))
        return structure.unflatten(changed), RoundedState(state.step + 1, after)

    return optax.GradientTransformation(init, update)


def _rounded_step(
    weight: Float32[Array, "*B"], update: Float32[Array, "*B"], key: Key[Array, ""]
) -> Float32[Array, "*B"]:
    """From a weight to its rounded successor."""
    target = stochastic_bfloat16(weight + update, uniform_bits(key, weight))
    return target.astype(jnp.float32) - weight


def _wide(tree: Any) -> Any:
    return optax.tree.cast(tree, jnp.float32)
