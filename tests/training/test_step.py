"""Tests of `rlaif_jax.training.step`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rlaif_jax.config_parts import GuardConfig
from rlaif_jax.training.guard import GuardState
from rlaif_jax.training.step import TrainState, mean_gradients, train_step

SGD = optax.sgd(1.0)


def fresh(params):
    zero = jnp.zeros((), jnp.int32)
    return TrainState(zero, params, SGD.init(params), GuardState.fresh())


def step(loss_fn, state, *parts, **guard):
    return train_step(
        state, parts, loss_fn=loss_fn, optimizer=SGD, guard=GuardConfig(**guard)
    )


def dot(params, batch):
    return (params["w"] * batch).sum(), {"w": params["w"].sum()}


def mean_square(params, batch):
    inputs, targets = batch
    errors = jnp.tanh(inputs @ params["w"]) - targets
    return jnp.mean(errors**2), {"bias": errors.mean()}


def test_metrics_are_of_the_parameters_before_the_step():
    state = fresh({"w": jnp.array([1.0, 2.0])})
    after, metrics = step(dot, state, jnp.array([3.0, 4.0]))
    # loss 3 + 8, gradient (3, 4), new weights (1 - 3, 2 - 4)
    counts = {"skipped": 0, "skipped_in_a_row": 0}
    assert metrics == {"loss": 11.0, "w": 3.0, "grad_norm": 5.0} | counts
    np.testing.assert_array_equal(after.params["w"], [-2.0, -2.0])
    assert int(after.step) == 1


def test_one_batch_of_8_equals_8_of_1_in_float64():
    with jax.enable_x64(True):
        draws = np.random.default_rng(0)
        params = {"w": jnp.asarray(draws.normal(size=5))}
        inputs, targets = draws.normal(size=(8, 5)), draws.normal(size=8)
        whole = mean_gradients(mean_square, params, [(inputs, targets)])
        for parts in (2, 8):
            split = zip(np.split(inputs, parts), np.split(targets, parts), strict=True)
            found = mean_gradients(mean_square, params, list(split))
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), found, whole
            )


def test_parts_are_summed_in_float32_where_weights_are_bfloat16():
    params = {"w": jnp.ones(1, jnp.bfloat16)}
    # 256 + 1 is not a bfloat16, so a sum in it would lose every part after the first
    parts = [jnp.full(1, size, jnp.bfloat16) for size in [256.0] + [1.0] * 7]
    found = mean_gradients(lambda p, b: ((p["w"] * b).sum(), {}), params, parts)
    assert found.by_param["w"].dtype == jnp.float32
    assert found.by_param["w"] * 8 == 256 + 7


def test_a_step_that_is_not_finite_changes_nothing_but_the_count():
    state = fresh({"w": jnp.array([1.0, 2.0])})
    after, metrics = step(dot, state, jnp.array([jnp.nan, 1.0]))
    np.testing.assert_array_equal(after.params["w"], [1.0, 2.0])
    assert int(after.step) == metrics["skipped"] == metrics["skipped_in_a_row"] == 1
    after, metrics = step(dot, after, jnp.array([3.0, 4.0]))
    np.testing.assert_array_equal(after.params["w"], [-2.0, -2.0])
    assert (metrics["skipped"], metrics["skipped_in_a_row"]) == (1, 0)


def test_a_gradient_that_is_not_finite_is_enough():
    def steep(params, batch):
        return jnp.sqrt(params["w"] - batch).sum(), {}

    after, metrics = step(steep, fresh({"w": jnp.ones(1)}), jnp.ones(1))
    assert metrics["loss"] == 0.0
    assert jnp.isinf(metrics["grad_norm"])
    assert metrics["skipped"] == 1
    assert after.params["w"] == 1.0


def test_after_too_many_in_a_row_the_state_stands_still():
    bad, good = jnp.full(2, jnp.inf), jnp.ones(2)
    state = fresh({"w": jnp.zeros(2)})
    for batch in (bad, good, bad, bad):
        state, _ = step(dot, state, batch, max_in_a_row=2)
    assert [int(n) for n in (state.step, *state.guard[:3])] == [4, 1, 3, 2]
    still, metrics = step(dot, state, good, max_in_a_row=2)
    jax.tree.map(np.testing.assert_array_equal, still, state)
    assert metrics["skipped_in_a_row"] == 2
