"""Rotary positions (Su et al. 2021, arXiv:2104.09864), in Llama's layout."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rlaif_jax.models.config import RopeScaling, TransformerConfig
from rlaif_jax.models.precision import wide


class Rotation(NamedTuple):
    """Cosine and sine of each position's angles, one per pair of dimensions."""

    cos: Float[Array, "B T half"]
    sin: Float[Array, "B T half"]


def rotation(positions: Int[Array, "B T"], config: TransformerConfig) -> Rotation:
    """The rotation of each position: angle i is position * theta^(-2 i / rotary_dim).

    With `rope_scaling`, that angle's frequency is scaled first.
    """
    width = config.rotary_dim
    exponents = jnp.arange(0, width, 2, dtype=jnp.float32) / width
    frequencies = 1.0 / config.rope_theta**exponents
    if config.rope_scaling is not None:
        frequencies = _scaled(frequencies, config.rope_scaling)
    angles = positions[..., None].astype(jnp.float32) * frequencies
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotate(
    x: Float[Array, "B T *heads H"], by: Rotation
) -> Float[Array, "B T *heads H"]:
    """Turns dimension i together with dimension i + half, as Hugging Face's files need.

    The paper turns neighbours (2 i, 2 i + 1): weights of one layout are noise in the
    other. Dimensions from 2 * half on are left alone. Computed in float32, for bfloat16
    cannot tell large positions apart.
    """
    heads = tuple(range(2, x.ndim - 1))
    cos, sin = (jnp.expand_dims(part, heads) for part in by)
    half = cos.shape[-1]
    first, second, rest = jnp.split(x.astype(wide(x.dtype)), [half, 2 * half], axis=-1)
    turned = [first * cos - second * sin, second * cos + first * sin, rest]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def _scaled(
    frequencies: Float[Array, " half"], scaling: RopeScaling
) -> Float[Array, " half"]:
    """The frequencies in a longer context.

    linear (Chen et al. 2023, arXiv:2306.15595) divides all by the factor; llama3
    (arXiv:2407.21783 and its released code) divides what turns less than
    low_freq_factor times in the original context, keeps what turns more than
    high_freq_factor times, and blends between.
    """
    slow = frequencies / scaling.factor
    if scaling.kind == "linear":
        return slow
    turns = frequencies * scaling.original_max_positions / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = jnp.clip((turns - low) / (high - low), 0.0, 1.0)
    return kept * frequencies + (1.0 - kept) * slow
