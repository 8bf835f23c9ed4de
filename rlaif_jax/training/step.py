"""One optimizer step: pure, jittable, the same for every loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Float, Int

from rlaif_jax.models import Params
from rlaif_jax.models.precision import wide

Batch = Any  # a tree of arrays; the loss knows which
Metrics = dict[str, Float[Array, ""]]
LossFn = Callable[[Params, Batch], tuple[Float[Array, ""], Metrics]]


class TrainState(NamedTuple):
    """Everything a resumed run needs from the device."""

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, Metrics]:
    """Takes one step down the gradient of `loss_fn`.

    Args:
      state: Donated by the caller's `jit`; do not use it afterwards.
      batch: One global batch.
      loss_fn: Maps parameters and batch to a scalar and metrics. It has already
        reduced over the batch, by the mask or count that suits the loss.
      optimizer: Clipping, weight decay and schedule included.

    Returns:
      The next state, and the loss's metrics plus `loss` and `grad_norm`, all
      computed with the parameters before the step.
    """
    (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(
        state.params, batch
    )
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params: Any = optax.apply_updates(state.params, updates)
    metrics |= {"loss": loss, "grad_norm": _norm(grads)}
    return TrainState(state.step + 1, params, opt_state), metrics


def _norm(grads: Params) -> Float[Array, ""]:
    """The L2 norm over all, summed up in float32 or wider."""
    return optax.tree.norm(jax.tree.map(lambda g: g.astype(wide(g.dtype)), grads))
