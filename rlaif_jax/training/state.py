"""The state of a run on its mesh: where it lives, how it starts, how it is kept."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped
from jaxtyping import Array, Float

from rlaif_jax.models import (
    Params,
    TransformerConfig,
    abstract_params,
    init_adapters,
    joined_params,
    logical_axes,
    trained_params,
)
from rlaif_jax.sharding.placement import param_shardings, require_divisible
from rlaif_jax.training.step import Batch, LossFn, Metrics, TrainState, train_step

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
        """The layout of one run, all that is trained in float32.

        Raises:
          UsageError: If a mesh axis does not divide a dimension that it splits.
        """
        params = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, _DTYPE),
            trained_params(config, abstract_params(config)),
        )
        counter = jax.ShapeDtypeStruct((), jnp.int32)
        opt_state = jax.eval_shape(optimizer.init, params)
        shapes = TrainState._make((counter, params, opt_state))
        replicated = NamedSharding(mesh, PartitionSpec())
        axes = trained_params(config, logical_axes(config))
        by_param = param_shardings(axes, mesh)
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
        """The state before the first step.

        Args:
          params: What is trained; the state shares no memory with it.
        """

        def init(params: Params) -> TrainState:
            # without a copy, donating the state would free the caller's arrays
            own = jax.tree.map(lambda leaf: jnp.copy(leaf).astype(_DTYPE), params)
            step = jnp.zeros((), jnp.int32)
            return TrainState(step, own, self.optimizer.init(own))

        return jax.jit(init, out_shardings=self.shardings)(params)

    def adapted(self, config: TransformerConfig, seed: int) -> TrainState:
        """The state before the first step of adapters, which change nothing yet.

        Args:
          config: The architecture with its adapters.
          seed: Of their first values.
        """
        make = jax.jit(
            partial(init_adapters, config), out_shardings=self.shardings.params
        )
        return self.fresh(make(jax.random.key(seed)))

    def saved(self, state: TrainState) -> dict[str, Any]:
        """The state as trees by name, as checkpoints hold it; the step is its name."""
        return {"params": state.params, "optimizer": state.opt_state}

    def restored(self, trees: dict[str, Any], step: int) -> TrainState:
        """The state of which `saved` was kept."""
        counter = jax.device_put(jnp.asarray(step, jnp.int32), self.shardings.step)
        return TrainState(counter, trees["params"], trees["optimizer"])

    def compile(self, loss_fn: LossFn) -> Wrapped:
        """The jitted step; it donates the state, and its metrics are on every host.

        Args:
          loss_fn: Of all parameters.

        Returns:
          A function of the state, a batch, and the parameters that are not trained.
        """

        def step(
            state: TrainState, batch: Batch, frozen: Params
        ) -> tuple[TrainState, Metrics]:
            def of_trained(
                trained: Params, batch: Batch
            ) -> tuple[Float[Array, ""], Metrics]:
                return loss_fn(joined_params(frozen, trained), batch)

            return train_step(
                state, batch, loss_fn=of_trained, optimizer=self.optimizer
            )

        shardings = (self.shardings, self.shardings.step)
        return jax.jit(step, donate_argnums=0, out_shardings=shardings)
