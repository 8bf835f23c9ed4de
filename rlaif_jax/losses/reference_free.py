"""Preference losses of the policy alone: no reference is computed, or held in memory.

Nothing but a small learning rate keeps the policy where it started.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rlaif_jax.losses.pairs import (
    PairLengths,
    PairLogps,
    PreferenceTerms,
    per_token,
    terms,
)


def reference_free_loss(policy: PairLogps, *, beta: float) -> PreferenceTerms:
    """`-log sigmoid(beta * (log pi(chosen|x) - log pi(rejected|x)))`.

    The DPO loss with a reference that gives all completions equal probability:
    `reference_free` of the code of DPO and of the paper (arXiv:2402.12366). Their
    rewards keep the reference; these are what the loss compares.

    Args:
      policy: Log-probabilities under the model in training.
      beta: Inverse of the temperature, > 0.
    """
    rewards = PairLogps(beta * policy.chosen, beta * policy.rejected)
    return terms(-jax.nn.log_sigmoid(rewards.chosen - rewards.rejected), rewards)


def simpo_loss(
    policy: PairLogps, *, lengths: PairLengths, beta: float, gamma: float
) -> PreferenceTerms:
    """`-log sigmoid(r(chosen) - r(rejected) - gamma)`, r = beta * log pi(y|x) / |y|.

    Eq. 6 of Meng et al., "SimPO: Simple Preference Optimization with a Reference-Free
    Reward" (arXiv:2405.14734).

    Args:
      policy: Log-probabilities under the model in training.
      lengths: Tokens of each completion.
      beta: Scale of the rewards, > 0; 2.0-10 in the article.
      gamma: Margin that is wanted, in nats, >= 0; the authors' configs give
        gamma / beta.
    """
    mean = per_token(policy, lengths)
    rewards = PairLogps(beta * mean.chosen, beta * mean.rejected)
    margin = rewards.chosen - rewards.rejected
    return terms(-jax.nn.log_sigmoid(margin - gamma), rewards)


def orpo_loss(
    policy: PairLogps, *, lengths: PairLengths, odds_weight: float
) -> PreferenceTerms:
    """Mean token NLL of the chosen, plus a penalty on the odds of the rejected.

    `-log p(chosen) - odds_weight * log sigmoid(log odds(chosen) - log odds(rejected))`
    with p the geometric mean of the tokens' probabilities and odds = p / (1 - p);
    Eqs. 4, 6 and 7 of Hong et al., "ORPO: Monolithic Preference Optimization without
    Reference Model" (arXiv:2403.07691).

    Args:
      policy: Log-probabilities under the model in training.
      lengths: Tokens of each completion.
      odds_weight: The article's lambda, > 0; TRL's `beta`.

    Returns:
      The loss of each pair; its rewards are the log odds.
    """
    mean = per_token(policy, lengths)
    odds = PairLogps(_log_odds(mean.chosen), _log_odds(mean.rejected))
    penalty = -jax.nn.log_sigmoid(odds.chosen - odds.rejected)
    return terms(-mean.chosen + odds_weight * penalty, odds)


def _log_odds(logps: Float[Array, " B"]) -> Float[Array, " B"]:
    """`log p - log(1 - p)`, finite where rounding has brought p to 1.

    Up to one rounding error below 1 it is exact. Beyond, 1 - p is held there and its
    gradient stops, so that the one of log p remains, with the right sign.
    """
    below_one = jnp.minimum(logps, -jnp.finfo(logps.dtype).eps)
    return logps - jnp.log(-jnp.expm1(below_one))
