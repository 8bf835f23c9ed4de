"""Which steps are taken: a bad batch must not cost the run its weights.

A step whose loss or gradient is not finite is skipped: weights and statistics stay as
they are, by `where`, and the data go on. So is, if the config wants it, one whose loss
or gradient norm is far above those of the steps before. After too many in a row the
state stands still, so that what failed can be repeated from it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rlaif_jax.config_parts import GuardConfig

_WINDOW = 128  # steps that a spike is measured against
_ENOUGH = 64  # of them, to know how much they scatter


class GuardState(NamedTuple):
    """What the guard remembers; part of the training state."""

    taken: Int[Array, ""]
    skipped: Int[Array, ""]
    in_a_row: Int[Array, ""]  # skipped steps, up to now
    recent: Float[Array, "2 W"]  # loss and gradient norm of the last steps taken

    @classmethod
    def fresh(cls) -> "GuardState":
        """Before the first step."""
        # each its own array: a state that is donated may hold none twice
        taken, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
        recent = jnp.zeros((2, _WINDOW), jnp.float32)
        return cls(taken, skipped, in_a_row, recent)


class Verdict(NamedTuple):
    """What becomes of a step."""

    is_taken: Bool[Array, ""]
    is_stopped: Bool[Array, ""]  # nothing changes any more, not even the step's number
    state: GuardState


def judge(
    config: GuardConfig,
    state: GuardState,
    loss: Float[Array, ""],
    grad_norm: Float[Array, ""],
) -> Verdict:
    """Decides on a step.

    A spike is a loss or gradient norm more than `spike_deviations` standard deviations
    above the mean of the last 128 steps that were taken, once there are 64: the rule
    of OLMo 2 (arXiv:2501.00656).

    Args:
      config: The run's.
      state: Before the step.
      loss: Of its batch.
      grad_norm: The L2 norm of the whole gradient, before clipping.
    """
    measured = jnp.stack([loss, grad_norm]).astype(jnp.float32)
    is_good = jnp.isfinite(measured).all()
    if config.spike_deviations is not None:
        is_good &= ~_is_spike(state, measured, config.spike_deviations)
    is_stopped = state.in_a_row >= config.max_in_a_row
    is_taken = is_good & ~is_stopped
    place = state.taken % _WINDOW
    taken = GuardState(
        state.taken + 1,
        state.skipped,
        jnp.zeros_like(state.in_a_row),
        state.recent.at[:, place].set(measured),
    )
    skipped = state._replace(skipped=state.skipped + 1, in_a_row=state.in_a_row + 1)
    after = select(is_taken, taken, select(is_stopped, state, skipped))
    return Verdict(is_taken, is_stopped, after)


def select(condition: Bool[Array, ""], yes: Any, no: Any) -> Any:
    """One of two trees of the same structure, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _is_spike(
    state: GuardState, measured: Float[Array, " 2"], deviations: float
) -> Bool[Array, ""]:
    """Whether loss or gradient norm stand out from the steps before."""
    is_known = jnp.arange(_WINDOW) < state.taken
    mean = jnp.mean(state.recent, axis=1, where=is_known)
    deviation = jnp.std(state.recent, axis=1, where=is_known)
    is_far = measured > mean + deviations * deviation
    return is_far.any() & (state.taken >= _ENOUGH)
