"""What a run does on data that it does not train on, and which step did best."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax

from rlaif_jax.checkpoint.selection import Candidate, Selection
from rlaif_jax.errors import DivergedError, PreemptedError
from rlaif_jax.files import write_atomic
from rlaif_jax.models import Params, joined_params
from rlaif_jax.runtime import distributed, watchdog
from rlaif_jax.training.batches import Batches, Load
from rlaif_jax.training.derived import with_derived
from rlaif_jax.training.metrics import lines_until
from rlaif_jax.training.plan import Session, ValidationSet
from rlaif_jax.training.saving import Saver
from rlaif_jax.training.state import StateLayout
from rlaif_jax.training.step import Batch, Metrics, TrainState
from rlaif_jax.typing import Json

_FILE = "validation.jsonl"
_SCORES = {"loss": "loss", "accuracy": "rewards/accuracies"}

Evaluate = Callable[[TrainState], dict[str, float]]


class Validator:
    """Evaluates a run when it is due, and saves the best step so far.

    `validation.jsonl` has a line for each evaluation, equal in an unbroken run and in
    one that was killed and resumed.
    """

    def __init__(
        self,
        validation: ValidationSet,
        evaluate: Evaluate,
        *,
        session: Session,
        batches: Batches,
        saver: Saver,
        track: Callable[[int, dict[str, float]], None],
    ):
        """Prepares to evaluate.

        Args:
          validation: The records, and when and why to look at them.
          evaluate: From `evaluation`.
          session: The run's folder, and who is told of each result.
          batches: Tell what epochs are done.
          saver: Keeps the best step.
          track: Takes a copy of each evaluation, by its step.
        """
        self._validation = validation
        self._evaluate = evaluate
        self._session = session
        self._batches = batches
        self._saver = saver
        self._track = track
        self._path = session.out / _FILE
        self._lines: list[Json] = []

    def go_on(self, step: int, state: TrainState) -> None:
        """Takes up what earlier sessions found up to a step.

        Args:
          step: That the run goes on from; 0 starts afresh.
          state: After it; evaluated if it was due and the session ended before.

        Raises:
          PreemptedError: As of `is_due`.
        """
        # all processes must go on from the same
        known = distributed.broadcast({"lines": lines_until(self._path, step)})
        self._lines = [json.loads(line) for line in known["lines"]]
        self._write()
        self._saver.best = self._best
        if step and self.is_due(step):
            self.act(step, state)

    def is_due(self, step: int) -> bool:
        """Whether to evaluate after this step, which has not been evaluated yet.

        Raises:
          PreemptedError: If the data end here, as it seems, and do not grow.
        """
        last = self._lines[-1] if self._lines else {"step": 0, "epoch": 0}
        if step == last["step"]:
            return False
        config = self._validation.config
        if config.every_steps is not None:
            return step % config.every_steps == 0
        every = config.every_epochs or 1
        return self._batches.epochs_done() // every > last["epoch"] // every

    def act(self, step: int, state: TrainState) -> None:
        """Evaluates the state after a step, and saves it if it is the best so far.

        Raises:
          DivergedError: If its loss is not finite.
          PreemptedError: As of `is_due`.
        """
        epoch = self._batches.epochs_done()
        # one process's figures, so that all choose the same step
        found = distributed.broadcast(self._evaluate(state))
        if not math.isfinite(found["loss"]):
            raise DivergedError(
                f"the validation loss is {found['loss']} after step {step}: lower"
                " optimizer.learning_rate, or look at the validation data"
            )
        self._lines.append({"step": step, "epoch": epoch, **found})
        self._write()
        self._track(step, found)
        is_best = self._best == step
        self._session.say(_told(step, epoch, found) + (", the best so far" * is_best))
        if is_best:
            self._saver.best = step
            self._saver.save(step, state)

    def end(self, step: int, state: TrainState) -> None:
        """Evaluates the run's end, unless that has been done."""
        if not self._lines or self._lines[-1]["step"] != step:
            self.act(step, state)

    def select(self) -> None:
        """Makes the best step the model of the run's folder, if it is to choose."""
        selection = self._selection
        if selection is not None:
            self._session.say(f"selected {selection.told}")
            if distributed.is_main():
                selection.write(self._session.out)

    @property
    def _best(self) -> int | None:
        return self._selection.best.step if self._selection else None

    @property
    def _selection(self) -> Selection | None:
        """The choice among what has been evaluated so far, if there is one."""
        by = self._validation.select
        if by is None or not self._lines:
            return None
        return Selection(
            by=by,
            data=self._validation.data,
            num_items=len(self._validation.records),
            candidates=tuple(
                Candidate(line["step"], line["epoch"], line[_SCORES[by]])
                for line in self._lines
            ),
        )

    def _write(self) -> None:
        """Puts all lines on disk, to outlive a power cut."""
        if distributed.is_main():
            lines = (json.dumps(line, sort_keys=True) + "\n" for line in self._lines)
            write_atomic(self._path, "".join(lines))


def evaluation(
    validation: ValidationSet,
    *,
    layout: StateLayout,
    load: Load[Any, Batch],
    frozen: Params,
    batch_size: int,
    stop: Callable[[int], bool],
) -> Evaluate:
    """The function that measures a state on all validation records.

    Args:
      validation: The records and their loss.
      layout: Of the state.
      load: The records of batches as the arrays that the loss takes.
      frozen: Parameters that are not trained.
      batch_size: Records at a time; the last batch may have fewer.
      stop: Asked between batches, with the state's step, whether to stop.

    Returns:
      Maps a state to means over all records: `loss`, and the loss's metrics. Raises
      `PreemptedError` if asked to stop.
    """

    def measured(params: Params, frozen: Params, batch: Batch) -> Metrics:
        loss, metrics = validation.loss_fn(joined_params(frozen, params), batch)
        return metrics | {"loss": loss}

    measure = jax.jit(measured, out_shardings=layout.shardings.step)
    batches = validation.batches(batch_size)
    counts = [len(batch) for batch in batches]

    def measured_batch(state: TrainState, batch: Sequence[Any]) -> dict[str, Any]:
        step = int(state.step)
        watchdog.moved(f"validation after step {step}")
        if stop(step):
            raise PreemptedError(
                f"stopped in validation after step {step}, which is saved: run the same"
                " command again to continue"
            )
        return jax.device_get(measure(state.params, frozen, load([batch])[0]))

    def evaluate(state: TrainState) -> dict[str, float]:
        # one at a time: many un-awaited programs with collectives deadlock on CPU
        found = [measured_batch(state, batch) for batch in batches]
        pool = partial(pooled_mean, counts=counts)
        means = {
            name: pool(name, [float(values[name]) for values in found])
            for name in found[0]
        }
        return with_derived(means)

    return evaluate


def pooled_mean(name: str, means: Sequence[float], counts: Sequence[int]) -> float:
    """The mean over all items, from the means of batches.

    An accuracy is a count over a count: counts are added, so that equal accuracies are
    equal numbers, whatever the batches.

    Args:
      name: Of the metric; `.../accuracies` are accuracies.
      means: Of each batch.
      counts: Items of each batch.
    """
    sums = [mean * count for mean, count in zip(means, counts, strict=True)]
    if name.endswith("/accuracies"):
        sums = [round(total) for total in sums]
    return math.fsum(sums) / sum(counts)


def _told(step: int, epoch: int, found: dict[str, float]) -> str:
    """One evaluation, for people."""
    text = f"step {step}, epoch {epoch}: validation loss {found['loss']:.4f}"
    if "rewards/accuracies" in found:
        text += f", accuracy {found['rewards/accuracies']:.3f}"
    return text
