"""Tests of `rlaif_jax.models.lookup`."""

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.models.lookup import table_rows


def test_gradients_of_a_bfloat16_row_are_summed_in_float32():
    table = jnp.zeros((3, 2), jnp.bfloat16)
    indices = jnp.array([[0] * 3000, [2] * 3000])

    @jax.jit
    def gradient(table):
        return jax.grad(
            lambda t: table_rows(t, indices).astype(jnp.float32).sum(),
        )(table)

    # 3000 ones are 3008 in bfloat16, whose numbers are 16 apart there
    np.testing.assert_array_equal(gradient(table)[:, 0], [3008, 0, 3008])


def test_rows_and_gradients_are_those_of_indexing():
    draws = np.random.default_rng(0)
    table = jnp.asarray(draws.normal(size=(5, 4)), jnp.float32)
    indices = jnp.asarray(draws.integers(0, 5, (2, 6)))
    weights = jnp.asarray(draws.normal(size=(2, 6, 4)), jnp.float32)

    def total(rows):
        return lambda t: (rows(t, indices) * weights).sum()

    ours = jax.value_and_grad(total(table_rows))(table)
    plain = jax.value_and_grad(total(lambda t, i: t[i]))(table)
    jax.tree.map(np.testing.assert_array_equal, ours, plain)
