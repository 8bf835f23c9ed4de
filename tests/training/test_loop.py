"""Tests of `rlaif_jax.training.loop` and `.step` on a one-parameter problem."""

from functools import partial
from itertools import repeat

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlaif_jax.config_parts import GuardConfig
from rlaif_jax.errors import PreemptedError
from rlaif_jax.training.guard import GuardState
from rlaif_jax.training.loop import Callbacks, Hook, Limits, fit
from rlaif_jax.training.step import TrainState, train_step

OPTIMIZER = optax.sgd(0.1)
MAX_SKIPPED = 2
BATCH = [{"target": jnp.array([1.0, 3.0])}]
BAD = [{"target": jnp.array([1.0, jnp.nan])}]


def loss_fn(params, batch):
    return jnp.mean((params["w"] - batch["target"]) ** 2), {"w": params["w"]}


@pytest.fixture(scope="module")
def step_fn():
    step = partial(
        train_step,
        loss_fn=loss_fn,
        optimizer=OPTIMIZER,
        guard=GuardConfig(max_in_a_row=MAX_SKIPPED),
    )
    return jax.jit(step, donate_argnums=0)


def initial_state():
    params = {"w": jnp.zeros(())}
    zero = jnp.zeros((), jnp.int32)
    return TrainState(zero, params, OPTIMIZER.init(params), GuardState.fresh())


def run(state, step_fn, num_steps, *, batches=None, max_in_flight=2, **callbacks):
    seen = []
    fitted = fit(
        state,
        repeat(BATCH) if batches is None else iter(batches),
        step_fn=step_fn,
        callbacks=Callbacks(lambda *line: seen.append(line), **callbacks),
        limits=Limits(num_steps, MAX_SKIPPED, max_in_flight),
    )
    return fitted, seen


def test_one_step_by_hand(step_fn):
    fitted, seen = run(initial_state(), step_fn, 1)
    # grad = 2 * (0 - 2) = -4; w = 0 + 0.1 * 4
    np.testing.assert_allclose(fitted.state.params["w"], 0.4, rtol=1e-6)
    counts = {"skipped": 0.0, "skipped_in_a_row": 0.0}
    assert seen == [(1, {"loss": 5.0, "grad_norm": 4.0, "w": 0.0} | counts)]


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
        callbacks=Callbacks(lambda step, _: ahead.append(dispatched - step)),
        limits=Limits(8, MAX_SKIPPED, max_in_flight=3),
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
        callbacks=Callbacks(
            lambda step, metrics: events.append(f"report {step}"),
            [Hook(lambda s: s % 2 == 0, lambda s, _: events.append(f"save {s}"))],
        ),
        limits=Limits(4, MAX_SKIPPED, max_in_flight=4),
    )
    expected = ["report 1", "report 2", "save 2", "report 3", "report 4", "save 4"]
    assert events == expected


@pytest.mark.parametrize("max_in_flight", [1, 2, 4])
def test_too_many_skipped_steps_end_the_run_where_it_stood(step_fn, max_in_flight):
    saved = []
    hook = Hook(lambda step: step % 5 == 0, lambda step, _: saved.append(step))
    batches = [BATCH, BAD, BATCH, BATCH, BATCH, BAD, BAD, BATCH, BATCH, BATCH]
    fitted, seen = run(
        initial_state(),
        step_fn,
        None,
        batches=batches,
        hooks=[hook],
        max_in_flight=max_in_flight,
    )
    before, _ = run(initial_state(), step_fn, None, batches=batches[:5])
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert (fitted.failure.number, fitted.failure.microbatches) == (7, BAD)
    assert fitted.step == int(fitted.state.step) == 7
    assert fitted.state.params == before.state.params
    assert saved == [5]
