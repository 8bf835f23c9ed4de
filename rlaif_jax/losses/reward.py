"""The Bradley-Terry loss of a reward model."""

import jax
from jaxtyping import Array, Float


def bradley_terry_loss(
    chosen: Float[Array, " B"], rejected: Float[Array, " B"]
) -> Float[Array, " B"]:
    """`-log sigmoid(r(chosen) - r(rejected))` of each pair, in nats.

    Eq. 3 of Sharma et al., "A Critical Evaluation of AI Feedback for Aligning Large
    Language Models" (arXiv:2402.12366). Only differences count: rewards of one prompt
    may all be shifted at no cost.

    Args:
      chosen: Reward of each chosen completion, in nats.
      rejected: Reward of each rejected completion.

    Returns:
      At least 0; log 2 where both are equal.
    """
    return -jax.nn.log_sigmoid(chosen - rejected)
