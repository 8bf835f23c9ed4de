"""A step that says what memory it takes before it takes it."""

from collections.abc import Callable

import jax
from jax.sharding import Mesh
from jax.stages import Wrapped

from rlaif_jax.errors import UsageError
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.runtime import distributed
from rlaif_jax.training.memory_plan import MemoryPlan, advice
from rlaif_jax.training.step import Batch, Metrics, TrainState

Tell = Callable[[MemoryPlan], None]


class PlannedStep:
    """Calls a jitted step; for every new shape of a batch, its plan is made first.

    That compiles no more than the call would: JAX keeps what `lower` and `compile`
    made, and the call finds it.

    Attributes:
      largest: The plan with the highest peak so far.
    """

    def __init__(
        self, step: Wrapped, *, config: TransformerConfig, mesh: Mesh, tell: Tell
    ):
        """Plans nothing yet.

        Args:
          step: Of a state, a batch, and the parameters that are not trained.
          config: The architecture.
          mesh: The devices.
          tell: Called with the first plan and with every larger one.
        """
        self.largest: MemoryPlan | None = None
        self._step = step
        self._config = config
        self._mesh = mesh
        self._tell = tell
        self._known: set[tuple[tuple[int, ...], ...]] = set()

    def __call__(
        self, state: TrainState, batch: Batch, frozen: Params
    ) -> tuple[TrainState, Metrics]:
        """Takes the step.

        Raises:
          UsageError: If it is certain that the device's memory does not hold it.
        """
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        if shapes not in self._known:
            self._known.add(shapes)
            self._plan(state, batch, frozen)
        return self._step(state, batch, frozen)

    def _plan(self, state: TrainState, batch: Batch, frozen: Params) -> None:
        """Compiles, and refuses what does not fit."""
        try:
            compiled = self._step.lower(state, batch, frozen).compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            hints = advice(None, self._config.remat)
            raise UsageError(
                f"a step does not fit the device's memory: {hints}; {error}"
            ) from error
        plan = MemoryPlan.of(
            compiled, (state, batch, frozen), config=self._config, mesh=self._mesh
        )
        # hosts may differ by what else they hold, and must not part ways over it
        plan = MemoryPlan.from_json(distributed.broadcast(plan.to_json()))
        if not plan.fits:
            hints = advice(plan, self._config.remat)
            raise UsageError(f"a step does not fit: {hints}\n{plan.table()}")
        if self.largest is None or plan.peak > self.largest.peak:
            self.largest = plan
            self._tell(plan)
