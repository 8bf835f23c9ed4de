"""Optimizers as optax chains: clip, precondition, scale by the learning rate."""

import optax

from rlaif_jax.config_parts import AdamWConfig, OptimizerConfig, RmspropConfig
from rlaif_jax.optim.schedules import build_schedule


def build_optimizer(
    config: OptimizerConfig, total_steps: int | None
) -> optax.GradientTransformation:
    """The optimizer of one run.

    Gradients are first scaled so that the L2 norm over all parameters is at most
    `max_grad_norm`.

    Args:
      config: AdamW or RMSprop, with its schedule.
      total_steps: Updates of the whole run; None if not known beforehand.

    Raises:
      UsageError: If the schedule needs `total_steps`.
    """
    schedule = build_schedule(config, total_steps)
    precondition = _adamw(config) if config.name == "adamw" else _rmsprop(config)
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        precondition,
        optax.scale_by_learning_rate(schedule),
    )


def _adamw(config: AdamWConfig) -> optax.GradientTransformation:
    """Adam with decay of all weights, scaled by the rate as PyTorch does."""
    return optax.chain(
        optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.eps),
        optax.add_decayed_weights(config.weight_decay),
    )


def _rmsprop(config: RmspropConfig) -> optax.GradientTransformation:
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
