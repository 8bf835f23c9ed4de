"""When a run's state is saved, and which of its checkpoints stay."""

from collections.abc import Callable

from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import CheckpointConfig
from rlaif_jax.runtime import watchdog
from rlaif_jax.training.batches import Batches
from rlaif_jax.training.state import StateLayout
from rlaif_jax.training.step import TrainState

_EVERY_STEPS = 1000


class Saver:
    """Saves a run's state with where its data stand.

    Attributes:
      best: A step whose checkpoint stays, however many follow.
    """

    def __init__(
        self,
        folder: store.ModelFolder,
        config: CheckpointConfig,
        *,
        layout: StateLayout,
        batches: Batches,
        before: Callable[[], None],
    ):
        """Prepares to save.

        Args:
          folder: The run's.
          config: When, and how many stay.
          layout: Of the state.
          batches: Tell where the data stand, and what epochs are done.
          before: Called before each save: makes durable what it implies.

        Raises:
          PreemptedError: If the data end where the run goes on, as it seems, and do
            not grow.
        """
        self.best: int | None = None
        self._folder = folder
        self._config = config
        self._layout = layout
        self._batches = batches
        self._before = before
        self._saved: int | None = None
        self._epochs = batches.epochs_done() if config.every_epochs else 0

    def is_due(self, step: int) -> bool:
        """Whether to save after this step; asked once for each."""
        if self._config.every_epochs is None:
            return step % (self._config.every_steps or _EVERY_STEPS) == 0
        before, self._epochs = self._epochs, self._batches.epochs_done()
        return self._epochs // self._config.every_epochs > (
            before // self._config.every_epochs
        )

    def save(self, step: int, state: TrainState) -> None:
        """Saves the state after a step, if it is not saved yet."""
        if step == self._saved:
            return
        watchdog.moved(f"saving step {step}")
        self._before()
        store.save(
            self._folder,
            step,
            self._layout.saved(state),
            self._batches.position.to_json(),
            keep=self._config.keep,
            best=self.best,
        )
        watchdog.moved(f"what follows saving step {step}")
        self._saved = step
