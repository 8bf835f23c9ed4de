"""How much more often than the reference the policy writes what was rejected."""

import math

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from rlaif_jax.losses.pairs import PairLogps


def importance_weight(
    policy: PairLogps, reference: PairLogps, *, max_weight: float
) -> Float[Array, " B"]:
    """`pi(rejected|x) / pi_ref(rejected|x)`, or `max_weight` where it is more.

    `importance_correction` of the paper's code (arXiv:2402.12366) multiplies each
    pair's loss by the ratio; it has no bound, and overflows at 89 nats. A bound makes
    it a truncated importance weight: Ionides, "Truncated Importance Sampling" (2008).

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      max_weight: Largest weight of a pair, > 0.

    Returns:
      Weights at most `max_weight`, into which no gradient flows.
    """
    log_ratio = policy.rejected - reference.rejected
    return stop_gradient(jnp.exp(jnp.minimum(log_ratio, math.log(max_weight))))
