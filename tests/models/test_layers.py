"""Tests of `rlaif_jax.models.layers`."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rlaif_jax.models import preset
from rlaif_jax.models.layers import GatedMLP, RMSNorm, kernel

CONFIG = preset("llama-tiny").replace(embed=2, norm_eps=1e-12)


def test_rms_norm_by_hand():
    norm = RMSNorm(CONFIG)
    norm.scale[...] = jnp.array([1.0, 10.0])
    # root mean square of (3, 4) is sqrt(25 / 2) = 3.5355
    actual = norm(jnp.array([[3.0, 4.0]]))
    np.testing.assert_allclose(actual, [[0.848528, 11.31371]], rtol=1e-6)


def test_rms_norm_of_bfloat16_is_computed_in_float32():
    norm = RMSNorm(CONFIG)
    x = jnp.full((1, 2), 1e10, jnp.bfloat16)
    y = norm(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), [[1.0, 1.0]], rtol=1e-2)


def test_gated_mlp_matches_numpy():
    mlp = GatedMLP(preset("llama-tiny"), rngs=nnx.Rngs(0))
    x = np.asarray(jax.random.normal(jax.random.key(1), (2, 3, 32)), np.float64)
    gate, up, down = (
        np.asarray(w[...], np.float64) for w in (mlp.gate, mlp.up, mlp.down)
    )
    hidden = (x @ gate) / (1 + np.exp(-(x @ gate))) * (x @ up)
    actual = mlp(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(actual, hidden @ down, rtol=1e-4, atol=1e-5)


def test_a_kernel_is_shaped_by_its_axes_and_keeps_the_variance():
    config = preset("llama-tiny").replace(embed=256)
    heads = ("kv_heads", "q_groups", "head_dim")
    q = kernel(config, ("embed",), heads, nnx.Rngs(0))
    assert q.get_metadata("axes") == ("embed", *heads)
    assert q.shape == (256, 2, 2, 8)
    np.testing.assert_allclose(np.std(q[...]), 256**-0.5, rtol=0.05)
    o = kernel(config, heads, ("embed",), nnx.Rngs(0))
    np.testing.assert_allclose(np.std(o[...]), 32**-0.5, rtol=0.05)
