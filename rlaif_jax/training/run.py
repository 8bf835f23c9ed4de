"""A training run in its folder: started or taken up again, saved, and ended."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from jax.sharding import Mesh

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.weights import keep_origin
from rlaif_jax.data.order import Position, Source
from rlaif_jax.errors import CorruptDataError, DivergedError, PreemptedError
from rlaif_jax.files import write_json
from rlaif_jax.models import TransformerConfig
from rlaif_jax.runtime import distributed
from rlaif_jax.runtime.platform import steps_in_flight
from rlaif_jax.training.batches import Batches, require_even_batch
from rlaif_jax.training.failure import failed
from rlaif_jax.training.feed import Feed, Prepare
from rlaif_jax.training.loop import (
    Callbacks,
    Fitted,
    Hook,
    Limits,
    Report,
    StepFn,
    fit,
)
from rlaif_jax.training.memory_plan import MemoryPlan
from rlaif_jax.training.plan import (
    Session,
    StartModel,
    TrainingPlan,
    TrainResult,
    write_result,
)
from rlaif_jax.training.planned_step import PlannedStep
from rlaif_jax.training.reporting import Describe, Reported, Reporter
from rlaif_jax.training.saving import Saver
from rlaif_jax.training.state import StateLayout, free
from rlaif_jax.training.step import LossFn, TrainState
from rlaif_jax.training.validation import Validator, evaluation


class Task(NamedTuple):
    """What is trained: the loss, and what it is fed.

    Attributes:
      loss_fn: Reduced over a batch.
      load: The equal parts of one batch, as records, as the arrays that `loss_fn`
        takes.
      check: Raises if a step's metrics show that something is wrong.
      describe: What the host knows of a batch, from what `load` took and gave.
      prepare: Takes what `load` takes, and does what needs the start's weights; given
        every batch before the first step, if all data are known by then.
    """

    loss_fn: LossFn
    load: Callable[[Sequence[Sequence[Any]]], Sequence[Any]]
    check: Callable[[int, dict[str, float]], None] = lambda step, metrics: None
    describe: Describe | None = None
    prepare: Prepare | None = None


def train(
    start: StartModel,
    source: Source[Any],
    *,
    task: Task,
    plan: TrainingPlan,
    session: Session,
) -> TrainResult:
    """Trains to the end of the data or of the plan.

    A run that was interrupted goes on from its last checkpoint, bit by bit as if it
    had not been; see `run_folder.claim` for what may change in between.

    Args:
      start: The model at step 0.
      source: The records.
      task: The loss and its batches.
      plan: Optimizer, batch size and length.
      session: Folder, devices, progress and stop.

    Returns:
      The end of the run, which is also written into its folder.

    Raises:
      PreemptedError: If it was asked to stop, or the data stopped growing; the state
        is saved.
      DivergedError: If the guard skipped too many steps.
      InternalError: If the task's check fails.
      UsageError: If the plan does not fit the devices or the data.
    """
    require_even_batch(plan.batch_size, plan.microbatches, session.mesh)
    feed = Feed(source, plan)
    layout = _state_layout(start.config, feed, session.mesh)
    folder = store.create_folder(session.out, start.config, start.tokenizer_dir)
    if start.origin is not None and start.config.lora:
        keep_origin(folder, start.origin)
    is_needed = False
    if task.prepare is not None:
        is_needed = not feed.prepare(task.prepare, session)
    state, position = _state(
        start, layout, folder, is_spare=start.is_spare and not is_needed
    )
    reported = Reported(
        step=int(state.step),
        batch_size=plan.batch_size,
        config=start.config,
        describe=task.describe,
    )
    with Reporter(session, reported) as reporter:
        batches = Batches(
            feed.stream(position),
            reporter.noting(task.load),
            plan.microbatches,
        )
        saver = Saver(
            folder,
            plan.checkpoint,
            layout=layout,
            batches=batches,
            before=reporter.sync,  # a checkpoint implies the lines before it
        )
        hooks = [Hook(saver.is_due, saver.save)]
        validator = None
        if plan.validation is not None:
            evaluate = evaluation(
                plan.validation,
                layout=layout,
                load=task.load,
                frozen=start.frozen(),
                batch_size=plan.part_size,
                stop=session.stop,
            )
            validator = Validator(
                plan.validation,
                evaluate,
                session=session,
                batches=batches,
                saver=saver,
                track=reporter.track_validation,
            )
            validator.go_on(int(state.step), state)
            # before a checkpoint, which implies the lines before it
            hooks.insert(0, Hook(validator.is_due, reporter.log.untimed(validator.act)))
        fitted = fit(
            state,
            batches,
            step_fn=_step_fn(start, layout, task.loss_fn, plan, session),
            callbacks=Callbacks(
                _report(task, reporter, feed.total_steps), hooks, session.stop
            ),
            limits=Limits(
                plan.max_steps,
                plan.guard.max_in_a_row,
                steps_in_flight(session.mesh.devices.flat[0].platform),
            ),
        )
        if fitted.failure is not None:
            raise failed(start, layout, fitted.state, fitted.failure, session.out)
        _require_some_taken(fitted)
        fitted = _kept(fitted, validator, saver)
    if validator is not None and fitted.preemption is None:
        validator.select()
    return _ended(fitted, reporter, folder)


def _state_layout(config: TransformerConfig, feed: Feed, mesh: Mesh) -> StateLayout:
    """Where the state lives, with the optimizer of the plan."""
    plan = feed.plan
    return StateLayout.configured(
        config,
        plan.optimizer,
        mesh,
        # the number of batches of a growing source is no fact to hang a schedule on
        total_steps=plan.max_steps or feed.num_batches,
        seed=plan.seed,
    )


def _require_some_taken(fitted: Fitted) -> None:
    """Refuses to call a run done that has changed nothing."""
    if fitted.step and fitted.preemption is None and not int(fitted.state.guard.taken):
        raise DivergedError(
            f"all {fitted.step} steps were skipped, as loss or gradient were not"
            " finite: look at the start model's weights, or at the data with debug=true"
        )


def _kept(fitted: Fitted, validator: Validator | None, saver: Saver) -> Fitted:
    """Evaluates the end, if it is one, and saves the last step in any case."""
    state, step, preemption, _ = fitted
    if validator is not None and preemption is None:
        try:
            validator.end(step, state)
        except PreemptedError as error:
            preemption = error
    if step:
        saver.save(step, state)
    return Fitted(state, step, preemption)


def _ended(
    fitted: Fitted, reporter: Reporter, folder: store.ModelFolder
) -> TrainResult:
    """Writes down that the run is finished, or raises why it is not."""
    log = reporter.log
    if fitted.preemption is not None:
        raise fitted.preemption
    if "loss" not in log.last:
        raise CorruptDataError(
            f"{folder.path / 'metrics.jsonl'} has lost its lines: the model at step "
            f"{fitted.step} is good, but its loss is not known"
        )
    result = TrainResult(
        fitted.step,
        log.last["loss"],
        str(folder.checkpoints / str(fitted.step)),
        log.examples_per_second,
        tokens_per_second=log.tokens_per_second,
        mfu=log.mfu,
        alarms={alarm.name: alarm.step for alarm in reporter.alarms},
        skipped=int(fitted.state.guard.skipped),
    )
    if distributed.is_main():
        write_result(folder.path, result)
    return result


def _report(task: Task, reporter: Reporter, total: int | None) -> Report:
    """Checks each step's metrics, and writes them down."""

    def report(step: int, metrics: dict[str, float]) -> None:
        task.check(step, metrics)
        reporter.report(step, metrics, total)

    return report


def _tell_memory(session: Session, plan: MemoryPlan) -> None:
    """Says and writes down what steps take."""
    session.say(plan.table())
    if distributed.is_main():
        write_json(session.out / "memory.json", plan.to_json())


def _state(
    start: StartModel, layout: StateLayout, folder: store.ModelFolder, *, is_spare: bool
) -> tuple[TrainState, Position | None]:
    """The state to go on from, and where its data stood; frees spare weights."""
    if store.latest_step(folder) is None:
        if start.config.lora:
            return layout.adapted(start.config, start.adapter_seed), None
        return layout.fresh(start.load(), is_spare=is_spare), None
    if is_spare:
        free(start.load())
    restored = store.restore_state(folder, layout.saved(layout.abstract))
    state = layout.restored(restored.state, restored.step)
    return state, Position.from_json(restored.position)


def _step_fn(
    start: StartModel,
    layout: StateLayout,
    loss_fn: LossFn,
    plan: TrainingPlan,
    session: Session,
) -> StepFn:
    """The step, which tells what memory it takes."""
    step = PlannedStep(
        layout.compile(loss_fn, plan.guard),
        config=start.config,
        mesh=session.mesh,
        tell=partial(_tell_memory, session),
    )
    return partial(step, frozen=start.frozen())
