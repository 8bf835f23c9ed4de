"""The state of a run on its mesh: where it lives, how it starts, how it is kept."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlaif_jax.models import Params, TransformerConfig, abstract_params, logical_axes
from rlaif_jax.sharding.placement import param_shardings, require_divisible
from rlaif_jax.training.loop import StepFn
from rlaif_jax.training.step import LossFn, TrainState, train_step

_DTYPE = "float32"  # at DPO's rates, bfloat16 updates round to nothing


class StateLayout(NamedTuple):
    """The shape and the sharding of everything in a `TrainState`.

    Optimizer statistics are sharded like the parameters that they belong to.

    Attributes:
      abstract: Shapes, with shardings.
      shardings: The shardings alone.
      optimizer: Whose state it is.
    """

    abstract: TrainState
    shardings: TrainState
    optimizer: optax.GradientTransformation

    @classmethod
    def create(
        cls,
        config: TransformerConfig,
        optimizer: optax.GradientTransformation,
        mesh: Mesh,
    ) -> "StateLayout":
        """The layout of one run, all parameters in float32.

        Raises:
          UsageError: If a mesh axis does not divide a dimension that it splits.
        """
        params = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, _DTYPE),
            abstract_params(config),
        )
        counter = jax.ShapeDtypeStruct((), jnp.int32)
        opt_state = jax.eval_shape(optimizer.init, params)
        shapes = TrainState._make((counter, params, opt_state))
        replicated = NamedSharding(mesh, PartitionSpec())
        by_param = param_shardings(logical_axes(config), mesh)
        by_statistic = optax.tree.map_params(
            optimizer,
            lambda _, sharding: sharding,
            opt_state,
            by_param,
            transform_non_params=lambda _: replicated,
        )
        shardings = TrainState._make((replicated, by_param, by_statistic))
        require_divisible(shapes, shardings)
        abstract = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            shapes,
            shardings,
        )
        return cls(abstract, shardings, optimizer)

    def fresh(self, params: Params) -> TrainState:
        """The state before the first step; shares no memory with `params`."""

        def init(params: Params) -> TrainState:
            # without a copy, donating the state would free the caller's arrays
            own = jax.tree.map(lambda leaf: jnp.copy(leaf).astype(_DTYPE), params)
            step = jnp.zeros((), jnp.int32)
            return TrainState(step, own, self.optimizer.init(own))

        return jax.jit(init, out_shardings=self.shardings)(params)

    def saved(self, state: TrainState) -> dict[str, Any]:
        """The state as trees by name, as checkpoints hold it; the step is its name."""
        return {"params": state.params, "optimizer": state.opt_state}

    def restored(self, trees: dict[str, Any], step: int) -> TrainState:
        """The state of which `saved` was kept."""
        counter = jax.device_put(jnp.asarray(step, jnp.int32), self.shardings.step)
        return TrainState(counter, trees["params"], trees["optimizer"])

    def compile(self, loss_fn: LossFn) -> StepFn:
        """The jitted step; it donates the state, and its metrics are on every host."""
        step = partial(train_step, loss_fn=loss_fn, optimizer=self.optimizer)
        shardings = (self.shardings, self.shardings.step)
        return jax.jit(step, donate_argnums=0, out_shardings=shardings)
