"""Optimizers as optax chains: clip, precondition, scale by the learning rate."""

from typing import Any

import optax

from rlaif_jax.config_parts import (
    AdafactorConfig,
    AdamWConfig,
    OptimizerConfig,
    RmspropConfig,
)
from rlaif_jax.optim.factored import (
    clip_by_matrix_rms,
    scale_by_factored_rms,
    scale_by_matrix_rms,
)
from rlaif_jax.optim.moments import in_int8
from rlaif_jax.optim.rounding import in_bfloat16
from rlaif_jax.optim.schedules import build_schedule


def build_optimizer(
    config: OptimizerConfig,
    total_steps: int | None,
    *,
    axes: Any = None,
    seed: int = 0,
) -> optax.GradientTransformation:
    """The optimizer of one run.

    Gradients are first scaled so that the L2 norm over all parameters is at most
    `max_grad_norm`. With bfloat16 weights everything is computed in float32, and what
    is added to a weight leads to a bfloat16 next to the exact sum.

    Args:
      config: Which one, with its schedule.
      total_steps: Updates of the whole run; None if not known beforehand.
      axes: A tree of the parameters' logical axes, which tells what their matrices
        are; Adafactor and 8-bit moments need it.
      seed: Of stochastic rounding.

    Raises:
      UsageError: If the schedule needs `total_steps`.
    """
    schedule = build_schedule(config, total_steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        _precondition(config, axes, seed),
        optax.scale_by_learning_rate(schedule),
    )
    if config.weights == "bfloat16":
        return in_bfloat16(optimizer, seed=seed)
    return optimizer


def _precondition(
    config: OptimizerConfig, axes: Any, seed: int
) -> optax.GradientTransformation:
    """What the rate is multiplied with; decay of all weights included."""
    match config:
        case AdamWConfig():
            adam = optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps)
            scaled = _kept(adam, config.moments, axes, seed)
            return _decayed(scaled, config.weight_decay)
        case RmspropConfig():
            return _kept(_rms(config), config.moments, axes, seed)
        case AdafactorConfig():
            return _decayed(_adafactor(config, axes), config.weight_decay)


def _kept(
    inner: optax.GradientTransformation, moments: str, axes: Any, seed: int
) -> optax.GradientTransformation:
    """The same with moments in the precision that is asked for."""
    if moments == "float32":
        return inner
    return in_int8(inner, axes=_known(axes), seed=seed)


def _decayed(
    inner: optax.GradientTransformation, weight_decay: float
) -> optax.GradientTransformation:
    """Decay of all weights, which the rate will scale as PyTorch does."""
    return optax.chain(inner, optax.add_decayed_weights(weight_decay))


def _rms(config: RmspropConfig) -> optax.GradientTransformation:
    """Gradient over the root of its running mean square, `eps` outside the root.

    The mean starts at 0 and is not corrected for it, so the first step is
    `1 / sqrt(1 - decay)` times the rate: ten times, at the paper's 0.99.
    """
    return optax.scale_by_rms(
        decay=config.decay,
        eps=config.eps,
        initial_scale=0.0,
        eps_in_sqrt=False,
        bias_correction=False,
    )


def _adafactor(config: AdafactorConfig, axes: Any) -> optax.GradientTransformation:
    """Adafactor without a first moment, matrix by matrix."""
    axes = _known(axes)
    factored = scale_by_factored_rms(
        axes, decay=config.decay, eps=config.eps, least=config.min_factored
    )
    clip = clip_by_matrix_rms(axes, config.clipping_threshold)
    if not config.relative_rate:
        return optax.chain(factored, clip)
    return optax.chain(factored, clip, scale_by_matrix_rms(axes))


def _known(axes: Any) -> Any:
    if axes is None:
        raise ValueError("matrices are not known without the parameters' axes")
    return axes
