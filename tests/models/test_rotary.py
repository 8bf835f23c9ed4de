"""Tests of `rlaif_jax.models.rotary`."""

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.models.rotary import rotate, rotation


def test_turns_a_dimension_with_the_one_half_a_head_away():
    by = rotation(jnp.array([[0, 2]]), head_dim=4, theta=100.0)
    x = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 1.0]), (1, 2, 1, 4))
    actual = rotate(x, by)[0, :, 0]
    # angles at position 2: 2 * 100^0 = 2 and 2 * 100^(-1/2) = 0.2
    expected = [np.cos(2), -np.sin(0.2), np.sin(2), np.cos(0.2)]
    np.testing.assert_allclose(actual, [[1, 0, 0, 1], expected], atol=1e-6)


def test_scores_depend_on_the_distance_only():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def score(q_position, k_position):
        rotated = [
            rotate(x, rotation(jnp.array([[p]]), head_dim=8, theta=1e4))
            for x, p in ((q, q_position), (k, k_position))
        ]
        return jnp.sum(rotated[0] * rotated[1])

    np.testing.assert_allclose(score(7, 3), score(104, 100), rtol=1e-4)
    assert not np.allclose(score(7, 3), score(7, 6), rtol=1e-2)


def test_keeps_the_dtype_and_any_number_of_head_axes():
    by = rotation(jnp.array([[3]]), head_dim=4, theta=1e4)
    x = jnp.ones((1, 1, 2, 3, 4), jnp.bfloat16)
    assert rotate(x, by).dtype == jnp.bfloat16
    assert rotate(x, by).shape == x.shape
    np.testing.assert_array_equal(rotate(x, by)[:, :, 1, 2], rotate(x[:, :, 1, 2], by))
