"""Tests of `rlaif_jax.models.rotary`."""

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.models import preset
from rlaif_jax.models.config import RopeScaling
from rlaif_jax.models.rotary import rotate, rotation

TINY = preset("llama-tiny")


def test_turns_a_dimension_with_the_one_half_a_head_away():
    by = rotation(jnp.array([[0, 2]]), TINY.replace(head_dim=4, rope_theta=100.0))
    x = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 1.0]), (1, 2, 1, 4))
    actual = rotate(x, by)[0, :, 0]
    # angles at position 2: 2 * 100^0 = 2 and 2 * 100^(-1/2) = 0.2
    expected = [np.cos(2), -np.sin(0.2), np.sin(2), np.cos(0.2)]
    np.testing.assert_allclose(actual, [[1, 0, 0, 1], expected], atol=1e-6)


def test_scores_depend_on_the_distance_only():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def score(q_position, k_position):
        rotated = [
            rotate(x, rotation(jnp.array([[p]]), TINY))
            for x, p in ((q, q_position), (k, k_position))
        ]
        return jnp.sum(rotated[0] * rotated[1])

    np.testing.assert_allclose(score(7, 3), score(104, 100), rtol=1e-4)
    assert not np.allclose(score(7, 3), score(7, 6), rtol=1e-2)


def test_keeps_the_dtype_and_any_number_of_head_axes():
    by = rotation(jnp.array([[3]]), TINY.replace(head_dim=4))
    x = jnp.ones((1, 1, 2, 3, 4), jnp.bfloat16)
    assert rotate(x, by).dtype == jnp.bfloat16
    assert rotate(x, by).shape == x.shape
    np.testing.assert_array_equal(rotate(x, by)[:, :, 1, 2], rotate(x[:, :, 1, 2], by))


def test_only_the_first_share_of_a_head_turns():
    by = rotation(jnp.array([[5]]), TINY.replace(head_dim=8, rope_fraction=0.5))
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)
    turned = rotate(x, by)
    np.testing.assert_array_equal(turned[..., 4:], x[..., 4:])
    assert (turned[..., :4] != x[..., :4]).all()


def test_linear_scaling_is_a_smaller_position():
    stretched = TINY.replace(rope_scaling=RopeScaling(kind="linear", factor=4.0))
    actual = rotation(jnp.array([[12]]), stretched)
    expected = rotation(jnp.array([[3]]), TINY)
    np.testing.assert_allclose(actual.sin, expected.sin, rtol=1e-6)


def test_llama3_scaling_keeps_fast_turns_and_slows_slow_ones():
    scaling = RopeScaling(kind="llama3", factor=8.0, original_max_positions=64)
    config = TINY.replace(head_dim=8, rope_theta=1e4, rope_scaling=scaling)
    at_one = rotation(jnp.array([[1]]), config)
    angles = np.arctan2(at_one.sin, at_one.cos)[0, 0]
    # frequencies 1, 0.1, 0.01, 0.001 turn 10.2, 1.02, 0.10 and 0.01 times in 64
    blend = (64 * 0.1 / (2 * np.pi) - 1.0) / 3.0
    expected = [1.0, blend * 0.1 + (1 - blend) * 0.1 / 8, 0.01 / 8, 0.001 / 8]
    np.testing.assert_allclose(angles, expected, rtol=1e-5)
