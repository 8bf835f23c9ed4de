"""The training loop."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax

from rlaif_jax.errors import PreemptedError
from rlaif_jax.runtime import watchdog
from rlaif_jax.training.step import Batch, Metrics, TrainState

StepFn = Callable[[TrainState, Sequence[Batch]], tuple[TrainState, Metrics]]
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


class Step(NamedTuple):
    """A step that was dispatched."""

    number: int
    microbatches: Sequence[Batch]
    metrics: Metrics


class Fitted(NamedTuple):
    """Where the loop ended, and why, if its work is not done.

    Attributes:
      state: After the last step that counts.
      step: Its number.
      preemption: What to raise once the state is saved.
      failure: The last of too many skipped steps; the state stands still since then.
    """

    state: TrainState
    step: int
    preemption: PreemptedError | None = None
    failure: Step | None = None


class Limits(NamedTuple):
    """When the loop ends, and how far it runs ahead.

    Attributes:
      num_steps: Total, not remaining; None to train until the batches end.
      max_skipped: Skipped steps in a row after which the guard stands still.
      max_in_flight: Steps dispatched before the oldest is awaited: of a run,
        `runtime.platform.steps_in_flight`.
    """

    num_steps: int | None
    max_skipped: int
    max_in_flight: int = 2


def fit(
    state: TrainState,
    batches: Iterator[Sequence[Batch]],
    *,
    step_fn: StepFn,
    callbacks: Callbacks,
    limits: Limits,
) -> Fitted:
    """Trains until `num_steps` steps are done, the batches end, or `stop` says so.

    Ends also where the guard has skipped too many steps in a row; no hook has acted
    on that state.

    Metrics of a step are fetched only after later ones are dispatched, so the host
    prepares a batch while the device computes; never more than `max_in_flight` run at
    once, since many un-awaited steps with collectives deadlock on CPU.

    Args:
      state: A fresh or restored state; `state.step` says where to go on.
      batches: Each in equal parts, and already positioned at `state.step`. May end
        early, may block, and may raise `PreemptedError` where they can go on later.
      step_fn: Jitted `train_step`.
      callbacks: For metrics, checkpoints and stopping.
      limits: When to end.

    Returns:
      The final state, all its metrics reported.
    """
    report, hooks, stop = callbacks
    num_steps, max_skipped, max_in_flight = limits
    step = int(state.step)
    pending: deque[Step] = deque()
    failure: Step | None = None
    preemption = _asked(stop, step)
    while preemption is None and (num_steps is None or step < num_steps):
        watchdog.moved(f"the batch of step {step + 1}")
        try:
            batch = next(batches, None)
        except PreemptedError as error:
            preemption = error
            break
        if batch is None:
            break
        step += 1
        watchdog.moved(f"step {step}")
        state, metrics = step_fn(state, batch)
        pending.append(Step(step, batch, metrics))
        try:
            due = [hook for hook in hooks if hook.is_due(step)]
            keep = 0 if due else max_in_flight - 1
            failure = _deliver(pending, report, keep=keep, max_skipped=max_skipped)
            if failure is not None:
                break
            for hook in due:
                hook.act(step, state)
        except PreemptedError as error:
            preemption = error
            break
        preemption = _asked(stop, step)
    failure = failure or _deliver(pending, report, keep=0, max_skipped=max_skipped)
    if failure is not None:
        return Fitted(state, failure.number, failure=failure)
    return Fitted(state, step, preemption)


def _asked(stop: Callable[[int], bool], step: int) -> PreemptedError | None:
    """What to raise if the run was asked to stop."""
    if not stop(step):
        return None
    done = f"after step {step}, which is saved" if step else "before the first step"
    return PreemptedError(f"stopped {done}: run the same command again to continue")


def _deliver(
    pending: deque[Step], report: Report, *, keep: int, max_skipped: int
) -> Step | None:
    """Reports the oldest steps, until `keep` are left un-awaited.

    Returns:
      The step that was one skipped step too many; those after it were none.
    """
    while len(pending) > keep:
        step = pending.popleft()
        fetched = jax.device_get(step.metrics)
        values = {name: float(value) for name, value in fetched.items()}
        report(step.number, values)
        if values["skipped_in_a_row"] >= max_skipped:
            pending.clear()
            return step._replace(metrics=values)
    return None
