"""What a plan takes of a source, and in which order."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rlaif_jax.data.order import Position, RowStream, Source
from rlaif_jax.data.paper_order import PaperStream
from rlaif_jax.errors import PreemptedError
from rlaif_jax.runtime import watchdog
from rlaif_jax.training.batches import equal_parts
from rlaif_jax.training.plan import Session, TrainingPlan

STREAMS: dict[str, type[RowStream[Any]]] = {"shuffled": RowStream, "paper": PaperStream}
Prepare = Callable[[Sequence[Sequence[Any]]], None]


class Feed(NamedTuple):
    """A run's records.

    Attributes:
      source: All there are.
      plan: How many make a batch, and how often they come.
    """

    source: Source[Any]
    plan: TrainingPlan

    def stream(self, position: Position | None = None) -> RowStream[Any]:
        """The batches from a position on, or from the start."""
        return STREAMS[self.plan.order](
            self.source,
            batch_size=self.plan.batch_size,
            epochs=self.plan.epochs,
            seed=self.plan.seed,
            position=position,
        )

    @property
    def num_batches(self) -> int | None:
        """In all epochs; None while the source grows."""
        return self.stream().num_batches

    @property
    def total_steps(self) -> int | None:
        """For people; a growing source may know it later."""
        bounds = [n for n in (self.plan.max_steps, self.num_batches) if n is not None]
        return min(bounds, default=None)

    def prepare(self, prepare: Prepare, session: Session) -> bool:
        """Shows a task all records that the run will see, in their batches.

        Args:
          prepare: Of the task.
          session: Told how far it is, and asked whether to stop.

        Returns:
          Whether it could be done: not while the source grows.

        Raises:
          PreemptedError: If the run was asked to stop.
        """
        num_batches, total = self.num_batches, self.total_steps
        if num_batches is None or total is None:
            return False
        num_first = -(-num_batches // self.plan.epochs)  # batches of the first pass
        stream = self.stream()
        for number, batch in enumerate(stream):
            if number == total:
                break
            session.progress(0, total, {"prepared": min(1.0, number / num_first)})
            _go_on(f"scoring batch {number + 1} by the reference", session)
            prepare(equal_parts(batch.records, self.plan.microbatches))
            if batch.position.epoch and stream.is_whole_every_epoch:
                break  # the records that follow have come before
        if self.plan.validation is not None:
            for records in self.plan.validation.batches(self.plan.part_size):
                _go_on("scoring validation data by the reference", session)
                prepare([records])
        return True


def _go_on(what: str, session: Session) -> None:
    """Tells the watchdog what comes, unless the run was asked to stop."""
    watchdog.moved(what)
    if session.stop(0):
        raise PreemptedError(
            "stopped before training, what the reference scored is kept: run the same"
            " command again to continue"
        )
