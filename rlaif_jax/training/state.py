"""The state of a run on its mesh: where it lives, how it starts, how it is kept."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rlaif_jax.config_parts import GuardConfig, OptimizerConfig
from rlaif_jax.models import (
    Params,
    TransformerConfig,
    abstract_params,
    init_adapters,
    joined_params,
    logical_axes,
    trained_params,
)
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.placement import (
    derived_shapes,
    param_shardings,
    require_divisible,
)
from rlaif_jax.training.guard import GuardState
from rlaif_jax.training.step import Batch, LossFn, Metrics, TrainState, train_step


def free(params: Params) -> None:
    """Gives the devices' memory back, whoever still refers to the arrays."""
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf, jax.Array):  # a new head is still the host's
            leaf.delete()  # nothing, if it was donated


def _on_devices(leaf: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    """A parameter where it belongs, if it is still the host's."""
    if isinstance(leaf, jax.Array):
        return leaf
    return jax.device_put(leaf.astype(like.dtype), like.sharding)


class StateLayout(NamedTuple):
    """The shape and the sharding of everything in a `TrainState`.

    Optimizer statistics are sharded like the parameters that they are made from.

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
        *,
        weights: DTypeLike = "float32",
    ) -> "StateLayout":
        """The layout of one run.

        Args:
          config: The architecture, which tells what is trained.
          optimizer: Made for weights of that dtype.
          mesh: The devices.
          weights: The dtype of all that is trained; its statistics have their own.

        Raises:
          UsageError: If a mesh axis does not divide a dimension that it splits.
        """
        shapes = trained_params(config, abstract_params(config))
        shardings = param_shardings(trained_params(config, logical_axes(config)), mesh)
        require_divisible({"params": shapes}, {"params": shardings})
        params = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(
                leaf.shape, weights, sharding=sharding
            ),
            shapes,
            shardings,
        )
        everywhere = NamedSharding(mesh, PartitionSpec())
        counter = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)
        opt_state = derived_shapes(optimizer.init, params, mesh)
        guard = jax.tree.map(
            lambda leaf: leaf.update(sharding=everywhere),
            jax.eval_shape(GuardState.fresh),
        )
        abstract = TrainState._make((counter, params, opt_state, guard))
        by_leaf: Any = jax.tree.map(lambda leaf: leaf.sharding, abstract)
        return cls(abstract, by_leaf, optimizer)

    @classmethod
    def configured(
        cls,
        config: TransformerConfig,
        optimizer: OptimizerConfig,
        mesh: Mesh,
        *,
        total_steps: int | None,
        seed: int,
    ) -> "StateLayout":
        """The layout of a run with the optimizer that its config names.

        Args:
          config: The architecture, which tells what is trained.
          optimizer: With its schedule, and the dtype of what is trained.
          mesh: The devices.
          total_steps: Updates of the whole run; None if not known beforehand.
          seed: Of stochastic rounding.

        Raises:
          UsageError: As `create`, or if the schedule needs `total_steps`.
        """
        axes = trained_params(config, logical_axes(config))
        built = build_optimizer(optimizer, total_steps, axes=axes, seed=seed)
        return cls.create(config, built, mesh, weights=optimizer.weights)

    def fresh(self, params: Params, *, is_spare: bool = False) -> TrainState:
        """The state before the first step.

        Args:
          params: What is trained, in any precision.
          is_spare: Whether they are freed. Otherwise the state shares no memory with
            them, as donating it would free them too.
        """

        def init(params: Params) -> TrainState:
            own = jax.tree.map(
                lambda leaf, like: leaf.astype(like.dtype), params, self.abstract.params
            )
            if not is_spare:
                own = jax.tree.map(jnp.copy, own)
            step = jnp.zeros((), jnp.int32)
            return TrainState(step, own, self.optimizer.init(own), GuardState.fresh())

        given = params
        if is_spare:
            given = jax.tree.map(_on_devices, params, self.abstract.params)
        same = jax.tree.map(
            lambda leaf, like: leaf.dtype == like.dtype, given, self.abstract.params
        )
        donated = 0 if is_spare and all(jax.tree.leaves(same)) else ()
        make = jax.jit(init, out_shardings=self.shardings, donate_argnums=donated)
        state = make(given)
        if is_spare:
            free(params)
        return state

    def adapted(self, config: TransformerConfig, seed: int) -> TrainState:
        """The state before the first step of adapters, which change nothing yet.

        Args:
          config: The architecture with its adapters.
          seed: Of their first values.
        """
        make = jax.jit(
            partial(init_adapters, config), out_shardings=self.shardings.params
        )
        return self.fresh(make(jax.random.key(seed)), is_spare=True)

    def saved(self, state: TrainState) -> dict[str, Any]:
        """The state as trees by name, as checkpoints hold it; the step is its name."""
        return {
            "params": state.params,
            "optimizer": state.opt_state,
            "guard": state.guard,
        }

    def restored(self, trees: dict[str, Any], step: int) -> TrainState:
        """The state of which `saved` was kept."""
        counter = jax.device_put(jnp.asarray(step, jnp.int32), self.shardings.step)
        return TrainState(counter, trees["params"], trees["optimizer"], trees["guard"])

    def compile(self, loss_fn: LossFn, guard: GuardConfig) -> Wrapped:
        """The jitted step; it donates the state, and its metrics are on every host.

        Args:
          loss_fn: Of all parameters.
          guard: Which steps are skipped.

        Returns:
          A function of the state, a batch in equal parts, and the parameters that are
          not trained.
        """

        def step(
            state: TrainState, microbatches: Sequence[Batch], frozen: Params
        ) -> tuple[TrainState, Metrics]:
            def of_trained(
                trained: Params, batch: Batch
            ) -> tuple[Float[Array, ""], Metrics]:
                return loss_fn(joined_params(frozen, trained), batch)

            return train_step(
                state,
                microbatches,
                loss_fn=of_trained,
                optimizer=self.optimizer,
                guard=guard,
            )

        shardings = (self.shardings, self.shardings.step)
        return jax.jit(step, donate_argnums=0, out_shardings=shardings)
