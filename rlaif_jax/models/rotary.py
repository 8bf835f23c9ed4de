"""Rotary positions (Su et al. 2021, arXiv:2104.09864), in Llama's layout."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Rotation(NamedTuple):
    """Cosine and sine of each position's angles, one per pair of dimensions."""

    cos: Float[Array, "B T half"]
    sin: Float[Array, "B T half"]


def rotation(positions: Int[Array, "B T"], *, head_dim: int, theta: float) -> Rotation:
    """The rotation of each position: angle i is position * theta^(-2 i / head_dim)."""
    exponents = jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim
    frequencies = 1.0 / theta**exponents
    angles = positions[..., None].astype(jnp.float32) * frequencies
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotate(
    x: Float[Array, "B T *heads H"], by: Rotation
) -> Float[Array, "B T *heads H"]:
    """Turns dimension i together with dimension i + H/2, as Hugging Face's files need.

    The paper turns neighbours (2 i, 2 i + 1): weights of one layout are noise in the
    other. Computed in float32, for bfloat16 cannot tell large positions apart.
    """
    heads = tuple(range(2, x.ndim - 1))
    cos, sin = (jnp.expand_dims(part, heads) for part in by)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
