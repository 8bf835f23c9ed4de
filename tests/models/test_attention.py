"""Tests of `rlaif_jax.models.attention`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rlaif_jax.models import preset
from rlaif_jax.models.attention import Attention, attention_mask
from rlaif_jax.models.rotary import rotation

CONFIG = preset("llama-tiny")  # 2 key/value heads of 2 query heads, width 8


def mask_of(positions, segments, window=None):
    p, s = jnp.array([positions]), jnp.array([segments])
    return np.asarray(attention_mask(p, p, s, s, window=window))[0].astype(int)


def test_a_query_sees_itself_and_what_came_before():
    np.testing.assert_array_equal(mask_of(range(3), [1] * 3), np.tril(np.ones((3, 3))))


def test_a_window_of_two_is_the_query_and_its_neighbour():
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(mask_of(range(4), [1] * 4, window=2), expected)


def test_segments_do_not_see_each_other_and_padding_sees_only_padding():
    expected = [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1],  # both pads are at position 0
        [0, 0, 0, 1, 1],
    ]
    actual = mask_of([0, 1, 0, 0, 0], [1, 1, 2, 0, 0])
    np.testing.assert_array_equal(actual, expected)


def test_fewer_queries_than_keys_follow_the_same_rule():
    full = mask_of(range(6), [1] * 6, window=3)
    part = attention_mask(
        jnp.array([[4, 5]]),
        jnp.arange(6)[None],
        jnp.ones((1, 2), int),
        jnp.ones((1, 6), int),
        window=3,
    )
    np.testing.assert_array_equal(part[0], full[4:].astype(bool))


@pytest.fixture
def layer_and_inputs():
    layer = Attention(CONFIG, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 6, CONFIG.embed))
    positions = jnp.broadcast_to(jnp.arange(6), (2, 6))
    ones = jnp.ones_like(positions)
    mask = attention_mask(positions, positions, ones, ones, window=4)
    by = rotation(positions, CONFIG)
    return layer, x, by, mask


def test_matches_a_loop_over_heads_and_queries(layer_and_inputs):
    layer, x, by, mask = layer_and_inputs
    q, k, v = (np.asarray(part, np.float64) for part in layer.project(x, by))
    o = np.asarray(layer.o[...], np.float64)
    expected = np.zeros(x.shape)
    for b, t, n, g in np.ndindex(2, 6, 2, 2):
        keys = np.flatnonzero(mask[b, t])
        scores = np.exp(k[b, keys, n] @ q[b, t, n, g] / np.sqrt(8))
        expected[b, t] += (scores / scores.sum() @ v[b, keys, n]) @ o[n, g]
    actual = layer.mix(*layer.project(x, by), mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_gradients_stay_finite_under_the_mask(layer_and_inputs):
    layer, x, by, mask = layer_and_inputs

    def total(x):
        return layer.mix(*layer.project(100.0 * x, by), mask).sum()

    assert np.isfinite(jax.grad(total)(x)).all()
