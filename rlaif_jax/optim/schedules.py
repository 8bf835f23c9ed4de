"""Learning rate as a function of the number of updates done."""

import jax.numpy as jnp
import optax

from rlaif_jax.config_parts import OptimizerConfig
from rlaif_jax.errors import UsageError


def build_schedule(config: OptimizerConfig, total_steps: int | None) -> optax.Schedule:
    """The learning rate of each update, warm-up included.

    The warm-up multiplies the whole schedule by `min(1, (step + 1) / (warmup + 1))`,
    as the paper's code does (arXiv:2402.12366): the first update is not lost to a
    rate of 0. A decay counts from the end of the warm-up to `total_steps`.

    Args:
      config: Its rate, schedule, warmup_steps and end_fraction.
      total_steps: Updates of the whole run; None if not known beforehand.

    Returns:
      Maps the updates done, from 0, to the rate of the next one.

    Raises:
      UsageError: If a decay is wanted and its end is not known, or the warm-up takes
        the whole run.
    """
    rate = _after_warmup(config, total_steps)
    warmup = config.warmup_steps

    def schedule(step):
        ramp = jnp.minimum(1.0, (step + 1) / (warmup + 1))
        return ramp * rate(jnp.maximum(step - warmup, 0))

    return schedule


def _after_warmup(config: OptimizerConfig, total_steps: int | None) -> optax.Schedule:
    """The schedule without its warm-up."""
    if config.schedule == "constant":
        return optax.constant_schedule(config.learning_rate)
    if total_steps is None:
        raise UsageError(
            f"optimizer.schedule={config.schedule} needs the number of steps, which a "
            "growing folder does not have: set max_steps or schedule=constant"
        )
    decay_steps = total_steps - config.warmup_steps
    if decay_steps < 1:
        raise UsageError(
            f"optimizer.warmup_steps={config.warmup_steps} leaves nothing of "
            f"{total_steps} steps: lower it"
        )
    return _DECAYS[config.schedule](
        config.learning_rate, decay_steps, config.end_fraction
    )


def _linear(rate: float, steps: int, end_fraction: float) -> optax.Schedule:
    return optax.linear_schedule(rate, rate * end_fraction, steps)


_DECAYS = {"linear": _linear, "cosine": optax.cosine_decay_schedule}
