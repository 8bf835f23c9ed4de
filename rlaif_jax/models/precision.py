"""In which precision sums are taken."""

import jax.numpy as jnp
from jax.typing import DTypeLike


def wide(dtype: DTypeLike) -> jnp.dtype:
    """Float32, or the dtype itself if it is wider.

    Norms, softmaxes and logits take it, so that a whole model computes in float64
    where a test asks for that.
    """
    return jnp.promote_types(dtype, jnp.float32)
