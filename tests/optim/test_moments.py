"""Tests of `rlaif_jax.optim.moments`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlaif_jax.config_parts import AdamWConfig, RmspropConfig
from rlaif_jax.optim.matrices import Sides
from rlaif_jax.optim.moments import FIRST, SECOND, decode, encode
from rlaif_jax.optim.optimizers import build_optimizer

DRAWS = np.random.default_rng(0)
SIDES = Sides((0,), (1,))
AXES = {"w": ("embed", "ffw"), "norm": ("embed",)}


def bits(shape):
    return jnp.asarray(DRAWS.integers(0, 2**16, shape), jnp.uint16)


def coded(values, scale, random=None):
    random = bits(values.shape) if random is None else random
    values = jnp.asarray(values, jnp.float32)
    found = encode(values, SIDES, scale=scale, random=random)
    return found, np.asarray(decode(found, SIDES, scale=scale), np.float64)


def largest_around(values):
    """The smaller of each place's row's and column's largest magnitude."""
    size = np.abs(values)
    return np.minimum(size.max(1, keepdims=True), size.max(0, keepdims=True))


# how far apart neighbouring codes are at fraction y, plus one cell at the bottom:
# d(c/n)^p = p/n y^((p-1)/p), and more by convexity
@pytest.mark.parametrize("scale, power, top", [(FIRST, 2, 127), (SECOND, 4, 255)])
def test_errors_are_below_the_distance_of_codes(scale, power, top):
    values = DRAWS.normal(size=(40, 60)) * 10.0 ** DRAWS.uniform(-4, 0, (40, 60))
    if power == 4:
        values = values**2
    whole = largest_around(values)
    _, back = coded(values, scale)
    place = np.floor((np.abs(values) / whole) ** (1 / power) * top)
    near = np.maximum(place - 1, 0), place + 2  # one more each way, for rounding
    cell = ((near[1] / top) ** power - (near[0] / top) ** power) * whole
    assert np.all(np.abs(back - values) <= cell * (1 + 1e-5))
    typical = np.abs(values) > 0.05 * whole
    error = np.abs(back - values)[typical] / np.abs(values)[typical]
    assert error.max() < 0.08


def test_codes_are_unsigned_or_signed_bytes_and_keep_signs():
    values = DRAWS.normal(size=(8, 9))
    found, back = coded(values, FIRST)
    assert (found.codes.dtype, found.rows.shape, found.columns.shape) == (
        jnp.int8,
        (8,),
        (9,),
    )
    assert np.all((back == 0) | (np.sign(back) == np.sign(values)))
    assert coded(values**2, SECOND)[0].codes.dtype == jnp.uint8


@pytest.mark.parametrize("scale", [FIRST, SECOND])
def test_rounding_is_right_on_average(scale):
    values = np.full((256, 256), 0.0137)
    values[0, :] = values[:, 0] = 1.0  # the largest of every row and column
    random = jnp.arange(2**16, dtype=jnp.uint16).reshape(256, 256)
    _, back = coded(values, scale, random)
    inside = back[1:, 1:]
    spread = inside.std() / inside.size**0.5
    assert len(np.unique(inside)) == 2
    assert inside.mean() == pytest.approx(0.0137, abs=5 * spread)


def test_a_divisor_never_becomes_0_and_0_stays_0():
    values = np.ones((8, 8))
    values[1, 1:] = 1e-12
    values[2, 2] = 0.0
    _, back = coded(values, SECOND)
    assert np.all(back[1, 1:] > 0)
    assert back[2, 2] == 0.0
    np.testing.assert_array_equal(coded(np.zeros((8, 8)), SECOND)[1], 0.0)


def test_an_outlier_spoils_no_other_value():
    values = DRAWS.normal(size=(64, 64))
    values[5, 7] = 1e4
    after = coded(values, FIRST)[1]
    assert after[5, 7] == pytest.approx(1e4)
    after[5, 7] = values[5, 7]
    assert np.abs(after - values).max() < 0.1


def quadratic_losses(config, steps):
    """Of least squares with noisy gradients, matrices of unequal rows."""
    key = jax.random.key(0)
    target = jax.random.normal(key, (64, 48)) * jnp.logspace(-2, 0, 64)[:, None]
    params = {"w": jnp.zeros((64, 48)), "norm": jnp.zeros(64)}
    optimizer = build_optimizer(config, None, axes=AXES)

    def loss(params, inputs):
        error = (params["w"] - target) * inputs[:, None] + params["norm"][:, None]
        return (error**2).sum()

    def step(carry, key):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, jax.random.normal(key, (64,)))
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), value

    keys = jax.random.split(jax.random.key(1), steps)
    start = (params, optimizer.init(params))
    (params, _), _ = jax.jit(lambda s, k: jax.lax.scan(step, s, k))(start, keys)
    return float(((params["w"] - target) ** 2).sum()), float((target**2).sum())


@pytest.mark.parametrize("kind", [AdamWConfig, RmspropConfig])
def test_training_is_as_with_float32_moments(kind):
    exact, start = quadratic_losses(kind(learning_rate=3e-3), 400)
    rough, _ = quadratic_losses(kind(learning_rate=3e-3, moments="int8"), 400)
    assert exact < 0.3 * start
    assert rough == pytest.approx(exact, rel=0.05)


def test_an_average_that_changes_slowly_is_not_stuck():
    config = RmspropConfig(
        learning_rate=1.0, decay=0.999, moments="int8", max_grad_norm=1e9
    )
    optimizer = build_optimizer(config, None, axes=AXES)
    params = {"w": jnp.zeros((64, 64)), "norm": jnp.zeros(64)}
    state = optimizer.init(params)
    grads = {"w": jnp.ones((64, 64)), "norm": jnp.zeros(64)}
    step = jax.jit(optimizer.update)

    @jax.jit
    def many(state):
        return jax.lax.fori_loop(
            0, 2000, lambda _, s: optimizer.update(grads, s, params)[1], state
        )

    updates, _ = step(grads, many(state), params)
    # v = 1 - 0.999^2001 = 0.865; the update is 1 / sqrt(v)
    assert -float(updates["w"].mean()) == pytest.approx(0.865**-0.5, rel=0.02)


def test_vectors_keep_float32():
    optimizer = build_optimizer(
        AdamWConfig(learning_rate=1.0, moments="int8"), None, axes=AXES
    )
    state = optimizer.init({"w": jnp.zeros((16, 32)), "norm": jnp.zeros(16)})
    moments = optax.tree.get(state, "mu")
    assert moments["norm"].dtype == jnp.float32
    assert moments["w"].codes.dtype == jnp.int8
