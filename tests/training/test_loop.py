"""Tests of `rlaif_jax.training.loop` and `.step` on a one-parameter problem."""

from functools import partial
from itertools import repeat

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlaif_jax.errors import InternalError, PreemptedError
from rlaif_jax.training.loop import Callbacks, Hook, fit
from rlaif_jax.training.step import TrainState, train_step

OPTIMIZER = optax.sgd(0.1)
BATCH = {"target": jnp.array([1.0, 3.0])}
BAD = {"target": jnp.array([1.0, jnp.nan])}


def loss_fn(params, batch):
    return jnp.mean((params["w"] - batch["target"]) ** 2), {"w": params["w"]}


@pytest.fixture(scope="module")
def step_fn():
    step = partial(train_step, loss_fn=loss_fn, optimizer=OPTIMIZER)
    return jax.jit(step, donate_argnums=0)


def initial_state():
    params = {"w": jnp.zeros(())}
    return TrainState(jnp.zeros((), jnp.int32), params, OPTIMIZER.init(params))


def run(state, step_fn, num_steps, *, batches=None, max_in_flight=2, **callbacks):
    seen = []
    fitted = fit(
        state,
        repeat(BATCH) if batches is None else iter(batches),
        step_fn=step_fn,
        num_steps=num_steps,
        callbacks=Callbacks(lambda *line: seen.append(line), **callbacks),
        max_in_flight=max_in_flight,
    )
    return fitted, seen


def test_one_step_by_hand(step_fn):
    fitted, seen = run(initial_state(), step_fn, 1)
    # grad = 2 * (0 - 2) = -4; w = 0 + 0.1 * 4
    np.testing.assert_allclose(fitted.state.params["w"], 0.4, rtol=1e-6)
    assert seen == [(1, {"loss": 5.0, "grad_norm": 4.0, "w": 0.0})]


@pytest.mark.parametrize("max_in_flight", [1, 2, 4])
def test_every_step_is_reported_once_in_order(step_fn, max_in_flight):
    _, seen = run(initial_state(), step_fn, 5, max_in_flight=max_in_flight)
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]


def test_never_more_steps_in_flight_than_allowed(step_fn):
    dispatched = 0
    ahead = []

    def counted(state, batch):
        nonlocal dispatched
        dispatched += 1
        return step_fn(state, batch)

    fit(
        initial_state(),
        repeat(BATCH),
        step_fn=counted,
        num_steps=8,
        callbacks=Callbacks(lambda step, _: ahead.append(dispatched - step)),
        max_in_flight=3,
    )
    assert max(ahead) == 2  # besides the one that is reported


def test_two_halves_equal_one_run(step_fn):
    whole, _ = run(initial_state(), step_fn, 6)
    half, _ = run(initial_state(), step_fn, 3)
    resumed, seen = run(half.state, step_fn, 6)
    np.testing.assert_array_equal(resumed.state.params["w"], whole.state.params["w"])
    assert [step for step, _ in seen] == [4, 5, 6]


@pytest.mark.parametrize("num_steps", [None, 9])
def test_ends_where_the_batches_end(step_fn, num_steps):
    fitted, seen = run(initial_state(), step_fn, num_steps, batches=[BATCH] * 3)
    assert fitted.step == len(seen) == 3
    assert fitted.preemption is None


def test_no_batch_is_taken_beyond_the_last_step(step_fn):
    batches = iter([BATCH] * 5)
    run(initial_state(), step_fn, 3, batches=batches)
    assert len(list(batches)) == 2


def test_stops_between_steps_when_asked(step_fn):
    fitted, seen = run(initial_state(), step_fn, 9, stop=lambda step: step == 2)
    assert "stopped after step 2" in str(fitted.preemption)
    assert fitted.step == len(seen) == 2


def test_batches_that_can_go_on_later_end_the_loop_whole(step_fn):
    def batches():
        yield BATCH
        raise PreemptedError("nothing more by now")

    fitted, seen = run(initial_state(), step_fn, None, batches=batches())
    assert str(fitted.preemption) == "nothing more by now"
    assert fitted.step == len(seen) == 1


def test_hooks_act_when_due_after_their_metrics_are_reported(step_fn):
    events = []
    fit(
        initial_state(),
        repeat(BATCH),
        step_fn=step_fn,
        num_steps=4,
        callbacks=Callbacks(
            lambda step, metrics: events.append(f"report {step}"),
            [Hook(lambda s: s % 2 == 0, lambda s, _: events.append(f"save {s}"))],
        ),
        max_in_flight=4,
    )
    expected = ["report 1", "report 2", "save 2", "report 3", "report 4", "save 4"]
    assert events == expected


def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_saved(step_fn):
    saved = []
    hook = Hook(lambda step: True, lambda step, _: saved.append(step))
    with pytest.raises(InternalError, match="loss is nan at step 3"):
        run(initial_state(), step_fn, 9, batches=[BATCH, BATCH, BAD], hooks=[hook])
    assert saved == [1, 2]


def test_a_gradient_that_is_not_finite_ends_the_run():
    def steep(state, batch):
        return state, {"loss": jnp.zeros(()), "grad_norm": jnp.array(jnp.inf)}

    with pytest.raises(InternalError, match="grad_norm is inf at step 1"):
        run(initial_state(), steep, 2)
