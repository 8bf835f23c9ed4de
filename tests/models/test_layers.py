"""Tests of `rlaif_jax.models.layers`."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rlaif_jax.models import preset
from rlaif_jax.models.layers import (
    GatedMLP,
    LayerNorm,
    PlainMLP,
    RMSNorm,
    activate,
    kernel,
)

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


def test_layer_norm_by_hand():
    norm = LayerNorm(CONFIG)
    norm.scale[...] = jnp.array([2.0, 10.0])
    norm.bias[...] = jnp.array([0.5, 1.0])
    # mean 3.5, deviation 0.5: standardized to -1 and 1
    actual = norm(jnp.array([[3.0, 4.0]]))
    np.testing.assert_allclose(actual, [[-1.5, 11.0]], rtol=1e-5)


def test_a_scale_may_be_stored_less_one():
    plain, less = RMSNorm(CONFIG), RMSNorm(CONFIG.replace(norm_plus_one=True))
    assert not less.scale[...].any()
    x = jnp.array([[3.0, 4.0]])
    np.testing.assert_array_equal(plain(x), less(x))


def test_activations_are_the_exact_and_the_tanh_one():
    x = jnp.array([1.0])
    values = {
        name: float(activate(CONFIG.replace(activation=name), x)[0])
        for name in ("silu", "gelu", "gelu_tanh")
    }
    assert abs(values["silu"] - 0.731059) < 1e-6
    assert abs(values["gelu"] - 0.841345) < 1e-6  # 1 * Phi(1)
    assert abs(values["gelu_tanh"] - 0.841192) < 1e-6


def test_plain_mlp_matches_numpy():
    config = preset("gpt2").replace(embed=4, ffw=8, activation="silu")
    mlp = PlainMLP(config, rngs=nnx.Rngs(0))
    mlp.up_bias[...] = jnp.arange(8.0)
    mlp.down_bias[...] = jnp.arange(4.0)
    x = np.asarray(jax.random.normal(jax.random.key(1), (1, 3, 4)), np.float64)
    inner = x @ np.asarray(mlp.up[...], np.float64) + np.arange(8)
    hidden = inner / (1 + np.exp(-inner))
    expected = hidden @ np.asarray(mlp.down[...], np.float64) + np.arange(4)
    np.testing.assert_allclose(mlp(jnp.asarray(x, jnp.float32)), expected, rtol=1e-4)
