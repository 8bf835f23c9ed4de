"""What preference losses take and give: one value for each side of each pair."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Float, Int


class PairLogps(NamedTuple):
    """Sequence log-probabilities of one batch of pairs under one model, in nats."""

    chosen: Float[Array, " B"]
    rejected: Float[Array, " B"]


class PairLengths(NamedTuple):
    """How many tokens the completions of each pair have, their end tokens included."""

    chosen: Int[Array, " B"]
    rejected: Int[Array, " B"]


class PreferenceTerms(NamedTuple):
    """Per-pair terms of a preference loss. Reduction is left to the train step."""

    loss: Float[Array, " B"]
    chosen_reward: Float[Array, " B"]
    rejected_reward: Float[Array, " B"]

    @property
    def margin(self) -> Float[Array, " B"]:
        """Reward of the chosen over the rejected completion, in nats."""
        return self.chosen_reward - self.rejected_reward


def implicit_rewards(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PairLogps:
    """`beta * (log pi(y|x) - log pi_ref(y|x))` of both sides, in nats.

    Section 4 of Rafailov et al., "Direct Preference Optimization" (arXiv:2305.18290).

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model. No gradient flows into
        them, even if they come from the same parameters.
      beta: Strength of the pull towards the reference, > 0.
    """
    return PairLogps(
        beta * (policy.chosen - stop_gradient(reference.chosen)),
        beta * (policy.rejected - stop_gradient(reference.rejected)),
    )


def per_token(logps: PairLogps, lengths: PairLengths) -> PairLogps:
    """Log-probabilities of a mean token of each completion, in nats.

    Args:
      logps: Sums over each completion.
      lengths: Tokens of each; a completion without any keeps its 0.
    """
    return PairLogps(
        logps.chosen / jnp.maximum(lengths.chosen, 1),
        logps.rejected / jnp.maximum(lengths.rejected, 1),
    )


def terms(loss: Float[Array, " B"], rewards: PairLogps) -> PreferenceTerms:
    """The loss beside what it compares; the latter is told, and never trained on."""
    return PreferenceTerms(
        loss, stop_gradient(rewards.chosen), stop_gradient(rewards.rejected)
    )
