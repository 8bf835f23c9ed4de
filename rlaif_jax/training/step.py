"""One optimizer step: pure, jittable, the same for every loss."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from rlaif_jax.config_parts import GuardConfig
from rlaif_jax.models import Params
from rlaif_jax.models.precision import wide
from rlaif_jax.training.guard import GuardState, judge, select

Batch = Any  # a tree of arrays; the loss knows which
Metrics = dict[str, Float[Array, ""]]
LossFn = Callable[[Params, Batch], tuple[Float[Array, ""], Metrics]]


class TrainState(NamedTuple):
    """Everything a resumed run needs from the device."""

    step: Int[Array, ""]  # batches seen
    params: Params
    opt_state: optax.OptState
    guard: GuardState


class Gradients(NamedTuple):
    """Of the mean over a batch, with what the loss tells of it."""

    loss: Float[Array, ""]
    metrics: Metrics
    by_param: Params


def train_step(
    state: TrainState,
    microbatches: Sequence[Batch],
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    guard: GuardConfig,
) -> tuple[TrainState, Metrics]:
    """Takes one step down the gradient of `loss_fn`, unless the guard skips it.

    Args:
      state: Donated by the caller's `jit`; do not use it afterwards.
      microbatches: One global batch in equal parts, as for `mean_gradients`.
      loss_fn: Maps parameters and a part to a scalar and metrics, means over its
        items.
      optimizer: Clipping, weight decay and schedule included.
      guard: Which steps are skipped.

    Returns:
      The next state, and the loss's metrics plus `loss` and `grad_norm`, all
      computed with the parameters before the step, and the counts of steps that were
      `skipped`, in all and in a row.
    """
    loss, metrics, grads = mean_gradients(loss_fn, state.params, microbatches)
    grad_norm = _norm(grads)
    verdict = judge(guard, state.guard, loss, grad_norm)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params: Any = optax.apply_updates(state.params, updates)
    params, opt_state = select(
        verdict.is_taken, (params, opt_state), (state.params, state.opt_state)
    )
    step = state.step + ~verdict.is_stopped
    after = TrainState(step, params, opt_state, verdict.state)
    return after, metrics | {
        "loss": loss,
        "grad_norm": grad_norm,
        "skipped": after.guard.skipped,
        "skipped_in_a_row": after.guard.in_a_row,
    }


def mean_gradients(
    loss_fn: LossFn, params: Params, microbatches: Sequence[Batch]
) -> Gradients:
    """The gradient of a batch that is computed part by part, summed in float32.

    The mean over parts of equally many items is the mean over all items: the same as
    in one part, for every loss that is a mean over items.

    Args:
      loss_fn: As for `train_step`.
      params: Where the gradient is taken.
      microbatches: With equally many items and arrays of the same shapes.
    """
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
    if len(microbatches) == 1:
        (loss, metrics), grads = value_and_grad(params, microbatches[0])
        return Gradients(loss, metrics, grads)

    def add(sums: Any, part: Batch) -> tuple[Any, None]:
        found = value_and_grad(params, part)
        return jax.tree.map(lambda total, x: total + x, sums, found), None

    shapes = jax.eval_shape(value_and_grad, params, microbatches[0])
    zeros = jax.tree.map(_wide_zeros, shapes)
    parts = jax.tree.map(lambda *leaves: jnp.stack(leaves), *microbatches)
    sums, _ = jax.lax.scan(add, zeros, parts)
    means = jax.tree.map(lambda total: total / len(microbatches), sums)
    (loss, metrics), grads = means
    return Gradients(loss, metrics, grads)


def _wide_zeros(leaf: jax.ShapeDtypeStruct) -> Array:
    """Zeros to sum into: at least float32."""
    return jnp.zeros(leaf.shape, wide(leaf.dtype))


def _norm(grads: Params) -> Float[Array, ""]:
    """The L2 norm over all, summed up in float32 or wider."""
    return optax.tree.norm(jax.tree.map(lambda g: g.astype(wide(g.dtype)), grads))
