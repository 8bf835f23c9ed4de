"""Tests of `rlaif_jax.optim.rounding`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlaif_jax.config_parts import AdamWConfig, RmspropConfig
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.optim.rounding import in_bfloat16, stochastic_bfloat16

DRAWS = np.random.default_rng(0)


def both_neighbours(values):
    """The bfloat16 numbers next to float32 ones, towards 0 and away from it."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    inner = bits & np.uint32(0xFFFF0000)
    outer = inner + np.uint32(0x10000) * (bits != inner)
    return inner.view(np.float32), outer.view(np.float32)


def test_the_mean_over_all_random_numbers_is_the_value():
    values = np.float32([1.0, -1.001, 3.14159, 1e-30, -65504.5, 2**-130])
    random = jnp.arange(2**16, dtype=jnp.uint16)
    inner, outer = both_neighbours(values)
    for value, low, high in zip(values, inner, outer, strict=True):
        many = jnp.full(2**16, value)
        rounded = np.asarray(stochastic_bfloat16(many, random), np.float64)
        assert set(rounded) <= {float(low), float(high)}
        # the 2^16 numbers are all there are: the mean is exact
        assert rounded.mean() == pytest.approx(float(value), rel=1e-12)


def test_what_bfloat16_holds_is_never_moved():
    values = jnp.asarray(DRAWS.normal(size=1000), jnp.bfloat16)
    random = jnp.full(1000, 0xFFFF, jnp.uint16)
    kept = stochastic_bfloat16(values.astype(jnp.float32), random)
    np.testing.assert_array_equal(kept, values)


def test_what_is_not_finite_stays_so():
    values = jnp.array([jnp.inf, -jnp.inf, jnp.nan, 3.4028235e38])
    rounded = stochastic_bfloat16(values, jnp.full(4, 0xFFFF, jnp.uint16))
    found = np.asarray(rounded, np.float32)
    np.testing.assert_array_equal(found, [np.inf, -np.inf, np.nan, np.inf])


def test_updates_lead_to_a_neighbour_of_the_exact_sum():
    weights = jnp.asarray(DRAWS.normal(size=4000), jnp.bfloat16)
    # from far too small to be seen, to changes of sign
    changes = jnp.asarray(DRAWS.normal(size=4000) * 10.0 ** DRAWS.uniform(-7, 1, 4000))
    optimizer = in_bfloat16(optax.identity(), seed=0)
    step, _ = optimizer.update(changes, optimizer.init(weights), weights)
    after = np.asarray(optax.apply_updates(weights, step), np.float32)
    exact = np.asarray(weights, np.float32) + np.asarray(changes, np.float32)
    inner, outer = both_neighbours(exact)
    assert np.all((after == inner) | (after == outer))
    assert np.any(after == inner) and np.any(after == outer)


@pytest.mark.parametrize("name", ["adamw", "rmsprop"])
def test_small_rates_move_bfloat16_weights_as_they_move_float32(name):
    kind = {"adamw": AdamWConfig, "rmsprop": RmspropConfig}[name]
    size, steps = 20_000, 30
    starts = jnp.ones(size)
    ends = {}
    for weights in ("float32", "bfloat16"):
        optimizer = build_optimizer(
            kind(learning_rate=1e-5, weights=weights, max_grad_norm=1e6), None
        )
        params = starts.astype(weights)
        state = optimizer.init(params)

        @jax.jit
        def step(carry, _, optimizer=optimizer):
            params, state = carry
            updates, state = optimizer.update(jnp.ones_like(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, state), length=steps)
        ends[weights] = np.asarray(params, np.float64)
    # to nearest, 1 - 1e-5 is 1 in bfloat16: nothing would ever move
    moved = 1 - ends["float32"][0]
    spread = ends["bfloat16"].std() / size**0.5
    assert moved > 20 * spread
    assert 1 - ends["bfloat16"].mean() == pytest.approx(moved, abs=5 * spread)


def test_moments_and_norms_are_in_float32():
    optimizer = build_optimizer(
        AdamWConfig(learning_rate=1.0, weights="bfloat16", max_grad_norm=1.0), None
    )
    params = jnp.zeros(4096, jnp.bfloat16)
    state = optimizer.init(params)
    grads = jnp.full(4096, 1.0, jnp.bfloat16)
    _, state = optimizer.update(grads, state, params)
    moment = optax.tree.get(state, "mu")
    assert moment.dtype == jnp.float32
    # the norm is 64; a bfloat16 sum of 4096 ones would stay at 256
    np.testing.assert_allclose(moment, 0.1 / 64, rtol=1e-6)


def test_random_numbers_depend_on_seed_step_and_place():
    weights = {"a": jnp.ones(64, jnp.bfloat16), "b": jnp.ones(64, jnp.bfloat16)}
    grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, 1e-3), weights)

    def rounded(seed, steps=1):
        optimizer = in_bfloat16(optax.identity(), seed=seed)
        state = optimizer.init(weights)
        for _ in range(steps):
            updates, state = optimizer.update(grads, state, weights)
        return jax.tree.map(np.asarray, updates)

    first = rounded(0)
    jax.tree.map(np.testing.assert_array_equal, first, rounded(0))
    for other in (first["b"], rounded(1)["a"], rounded(0, steps=2)["a"]):
        assert np.any(first["a"] != other)
