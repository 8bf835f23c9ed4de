"""Rows of a table, with gradients that are summed up in float32."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rlaif_jax.models.precision import wide


@jax.custom_vjp
def table_rows(
    table: Float[Array, "V D"], indices: Int[Array, "*B"]
) -> Float[Array, "*B D"]:
    """The rows that are asked for.

    A row's gradient is the sum over all that asked for it. In the table's own
    bfloat16, a sum of ones would stay at 256.

    Args:
      table: One row for each index.
      indices: In [0, V).
    """
    return table[indices]


def _forward(
    table: Float[Array, "V D"], indices: Int[Array, "*B"]
) -> tuple[Float[Array, "*B D"], tuple[Array, Array]]:
    return table[indices], (table, indices)


def _backward(
    residuals: tuple[Array, Array], cotangent: Float[Array, "*B D"]
) -> tuple[Float[Array, "V D"], None]:
    table, indices = residuals
    dtype = wide(table.dtype)
    sums = jnp.zeros(table.shape, dtype).at[indices].add(cotangent.astype(dtype))
    return sums.astype(table.dtype), None


table_rows.defvjp(_forward, _backward)
