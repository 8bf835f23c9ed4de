"""Losses that tell each completion where its own reward should be.

With the implicit reward `r(y) = beta * (log pi(y|x) - log pi_ref(y|x))`, c and r below
are the rewards of the chosen and of the rejected completion. Unlike losses of the
margin alone, these see the chosen completion's probability fall. For all of them,
`policy` and `reference` are log-probabilities under the model in training and under
the frozen one, into which no gradient flows.
"""

import jax
import jax.numpy as jnp

from rlaif_jax.losses.pairs import (
    PairLogps,
    PreferenceTerms,
    implicit_rewards,
    terms,
)


def sppo_hard_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PreferenceTerms:
    """`((c - 1/2) / beta)^2 + ((r + 1/2) / beta)^2`, in squared nats.

    Wu et al., "Self-Play Preference Optimization" (arXiv:2405.00675), with the win
    rates 1 and 0 of a single label in place of their estimates.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: The article's 1 / eta, > 0: log-ratios are drawn to +-1 / (2 beta).
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    missing, surplus = (rewards.chosen - 0.5) / beta, (rewards.rejected + 0.5) / beta
    return terms(jnp.square(missing) + jnp.square(surplus), rewards)


def nca_pair_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PreferenceTerms:
    """`-log sigmoid(c) - log sigmoid(-c) / 2 - log sigmoid(-r) / 2`.

    Chen et al., "Noise Contrastive Alignment of Language Models with Explicit
    Rewards" (arXiv:2402.05369), for two completions.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: Strength of the pull towards the reference, > 0.
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    loss = -(
        jax.nn.log_sigmoid(rewards.chosen)
        + 0.5 * jax.nn.log_sigmoid(-rewards.chosen)
        + 0.5 * jax.nn.log_sigmoid(-rewards.rejected)
    )
    return terms(loss, rewards)


def bco_pair_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PreferenceTerms:
    """`-log sigmoid(c) - log sigmoid(-r)`: chosen or rejected, each on its own.

    Jung et al., "Binary Classifier Optimization" (arXiv:2404.04656), without the
    shift by a running mean of rewards, which TRL has up to version 0.28: a loss of a
    pair must not depend on the pairs before it.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: Strength of the pull towards the reference, > 0.
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    loss = -jax.nn.log_sigmoid(rewards.chosen) - jax.nn.log_sigmoid(-rewards.rejected)
    return terms(loss, rewards)


def apo_zero_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PreferenceTerms:
    """`1 - sigmoid(c) + sigmoid(r)`: chosen up, rejected down.

    Eq. 7 of D'Oosterlinck et al., "Anchored Preference Optimization"
    (arXiv:2408.06266), for chosen completions better than what the model writes.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: Strength of the pull towards the reference, > 0.
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    # 1 - sigmoid(c), without its cancellation
    loss = jax.nn.sigmoid(-rewards.chosen) + jax.nn.sigmoid(rewards.rejected)
    return terms(loss, rewards)


def apo_down_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PreferenceTerms:
    """`sigmoid(c) + 1 - sigmoid(c - r)`: both down, the rejected further.

    Eq. 8 of D'Oosterlinck et al. (arXiv:2408.06266), for chosen completions worse than
    what the model writes.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: Strength of the pull towards the reference, > 0.
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    loss = jax.nn.sigmoid(rewards.chosen) + jax.nn.sigmoid(
        rewards.rejected - rewards.chosen
    )
    return terms(loss, rewards)
