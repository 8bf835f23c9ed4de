"""Tests of `rlaif_jax.models.attention`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rlaif_jax.models import preset
from rlaif_jax.models.attending import dense
from rlaif_jax.models.attending.places import Places
from rlaif_jax.models.attending.rule import Rule
from rlaif_jax.models.attention import Attention
from rlaif_jax.models.rotary import rotation

CONFIG = preset("llama-tiny")  # 2 key/value heads of 2 query heads, width 8
RULE = Rule.of(CONFIG.replace(sliding_window=4))


@pytest.fixture
def layer_and_inputs():
    layer = Attention(CONFIG, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 6, CONFIG.embed))
    positions = jnp.broadcast_to(jnp.arange(6), (2, 6))
    mask = dense.prepare(Places(positions, jnp.ones_like(positions)), RULE)
    return layer, x, rotation(positions, CONFIG), mask


def test_matches_a_loop_over_heads_and_queries(layer_and_inputs):
    layer, x, by, mask = layer_and_inputs
    q, k, v = (np.asarray(part, np.float64) for part in layer.project(x, by))
    o = np.asarray(layer.o[...], np.float64)
    expected = np.zeros(x.shape)
    for b, t, n, g in np.ndindex(2, 6, 2, 2):
        keys = np.flatnonzero(mask[b, t])
        scores = np.exp(k[b, keys, n] @ q[b, t, n, g] / np.sqrt(8))
        expected[b, t] += (scores / scores.sum() @ v[b, keys, n]) @ o[n, g]
    actual = layer.emit(dense.read(layer.project(x, by), mask, RULE))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
