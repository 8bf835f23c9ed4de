"""The training loop."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax

from rlaif_jax.errors import DivergedError, PreemptedError
from rlaif_jax.training.step import Batch, Metrics, TrainState

StepFn = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
Report = Callable[[int, dict[str, float]], None]


class Hook(NamedTuple):
    """Something to do between steps: checkpoint, evaluate, profile.

    Either may raise `PreemptedError`, as batches may; then it is for who resumes the
    run to act.

    Attributes:
      is_due: Whether to act after this many steps.
      act: Called with the steps done and the state, which it must not keep: the next
        step donates it. Metrics up to and including this step are reported before.
    """

    is_due: Callable[[int], bool]
    act: Callable[[int, TrainState], None]


class Callbacks(NamedTuple):
    """What the loop calls besides the step.

    Attributes:
      report: Receives each step's number and metrics, once, in order.
      hooks: Called in order after each step for which they are due.
      stop: Asked between steps, with the steps done, whether to stop.
    """

    report: Report
    hooks: Sequence[Hook] = ()
    stop: Callable[[int], bool] = lambda step: False


class Fitted(NamedTuple):
    """Where the loop ended, and why, if its work is not done."""

    state: TrainState
    step: int
    preemption: PreemptedError | None


def fit(
    state: TrainState,
    batches: Iterator[Batch],
    *,
    step_fn: StepFn,
    num_steps: int | None,
    callbacks: Callbacks,
    max_in_flight: int = 2,
) -> Fitted:
    """Trains until `num_steps` steps are done, the batches end, or `stop` says so.

    Metrics of a step are fetched only after later ones are dispatched, so the host
    prepares a batch while the device computes; never more than `max_in_flight` run at
    once, since many un-awaited steps with collectives deadlock on CPU.

    Args:
      state: A fresh or restored state; `state.step` says where to go on.
      batches: Already positioned at `state.step`. May end early, may block, and may
        raise `PreemptedError` where they can go on later.
      step_fn: Jitted `train_step`.
      num_steps: Total, not remaining; None to train until the batches end.
      callbacks: For metrics, checkpoints and stopping.
      max_in_flight: Steps dispatched before the oldest is awaited; 1 where several
        processes run the same step.

    Returns:
      The final state, all its metrics reported; and what to raise once it is saved.

    Raises:
      DivergedError: If a loss or gradient is not finite. No hook has acted on the
        state that came from it.
    """
    report, hooks, stop = callbacks
    step = int(state.step)
    pending: deque[tuple[int, Metrics]] = deque()
    preemption = _asked(stop, step)
    while preemption is None and (num_steps is None or step < num_steps):
        try:
            batch = next(batches, None)
        except PreemptedError as error:
            preemption = error
            break
        if batch is None:
            break
        state, metrics = step_fn(state, batch)
        step += 1
        pending.append((step, metrics))
        try:
            due = [hook for hook in hooks if hook.is_due(step)]
            _deliver(pending, report, keep=0 if due else max_in_flight - 1)
            for hook in due:
                hook.act(step, state)
        except PreemptedError as error:
            preemption = error
            break
        preemption = _asked(stop, step)
    _deliver(pending, report, keep=0)
    return Fitted(state, step, preemption)


def _asked(stop: Callable[[int], bool], step: int) -> PreemptedError | None:
    """What to raise if the run was asked to stop."""
    if not stop(step):
        return None
    done = f"after step {step}, which is saved" if step else "before the first step"
    return PreemptedError(f"stopped {done}: run the same command again to continue")


def _deliver(pending: deque[tuple[int, Metrics]], report: Report, *, keep: int) -> None:
    """Reports the oldest steps, until `keep` are left un-awaited."""
    while len(pending) > keep:
        step, metrics = pending.popleft()
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        _check_finite(step, values)
        report(step, values)


def _check_finite(step: int, metrics: dict[str, float]) -> None:
    """Refuses to go on from a state that cannot recover."""
    for name in ("loss", "grad_norm"):
        if not math.isfinite(metrics[name]):
            raise DivergedError(
                f"{name} is {metrics[name]} at step {step}: nothing of it was saved; "
                "lower optimizer.learning_rate, or look at the data with debug=true"
            )
