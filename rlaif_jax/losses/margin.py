"""Losses of the margin alone: how far the chosen completion is above the rejected.

With the implicit reward `r(y) = beta * (log pi(y|x) - log pi_ref(y|x))`, the margin is
`m = r(chosen) - r(rejected)`; what moves both rewards alike costs nothing. For all of
them, `policy` and `reference` are log-probabilities under the model in training and
under the frozen one, into which no gradient flows.
"""

import math

import jax
import jax.numpy as jnp

from rlaif_jax.losses.dpo import dpo_loss
from rlaif_jax.losses.pairs import (
    PairLengths,
    PairLogps,
    PreferenceTerms,
    implicit_rewards,
    per_token,
    terms,
)


def robust_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float
) -> PreferenceTerms:
    """Unbiased estimate of the DPO loss where some labels are flipped.

    `(-(1 - eps) * log sigmoid(m) + eps * log sigmoid(-m)) / (1 - 2 eps)`: its mean
    over random flips is the DPO loss of the true labels; Chowdhury et al., "Provably
    Robust DPO" (arXiv:2403.00409). It falls without bound as m grows.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: Strength of the pull towards the reference, > 0.
      label_smoothing: eps, the probability that a label is flipped, in [0, 0.5).
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    margin = rewards.chosen - rewards.rejected
    kept = (1.0 - label_smoothing) * -jax.nn.log_sigmoid(margin)
    flipped = label_smoothing * -jax.nn.log_sigmoid(-margin)
    return terms((kept - flipped) / (1.0 - 2.0 * label_smoothing), rewards)


def cdpo_over_beta_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float
) -> PreferenceTerms:
    """The smoothed DPO loss over beta: `robust_eps` of the paper's code.

    Dividing makes the gradient at m = 0 independent of beta (arXiv:2402.12366, code).

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: Strength of the pull towards the reference, > 0.
      label_smoothing: Assumed probability that a label is flipped, in [0, 0.5).
    """
    smoothed = dpo_loss(policy, reference, beta=beta, label_smoothing=label_smoothing)
    return smoothed._replace(loss=smoothed.loss / beta)


def hinge_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PreferenceTerms:
    """`max(0, 1 - m)`: no more to learn of a pair once its margin is 1 nat.

    Zhao et al., "SLiC-HF" (arXiv:2305.10425), on the log-ratios of Liu et al., "RSO"
    (arXiv:2309.06657).

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: One over the log-ratio that is wanted, > 0.
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    return terms(jax.nn.relu(1.0 - (rewards.chosen - rewards.rejected)), rewards)


def ipo_sum_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float
) -> PreferenceTerms:
    """`(m / beta - 1 / (2 beta))^2` on sums over tokens, in squared nats.

    Eq. 17 of Azar et al., "A General Theoretical Paradigm to Understand Learning from
    Human Preferences" (arXiv:2310.12036), as the paper's code and OpenRLHF have it.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: The article's tau, > 0: the log-ratio is drawn to 1 / (2 beta).
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    missing = (rewards.chosen - rewards.rejected - 0.5) / beta
    return terms(jnp.square(missing), rewards)


def ipo_mean_loss(
    policy: PairLogps, reference: PairLogps, *, lengths: PairLengths, beta: float
) -> PreferenceTerms:
    """`ipo_sum_loss` on means over each completion's tokens: TRL's `ipo`.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      lengths: Tokens of each completion.
      beta: The article's tau, > 0: the difference of mean log-ratios is drawn to
        1 / (2 beta).
    """
    policy, reference = per_token(policy, lengths), per_token(reference, lengths)
    return ipo_sum_loss(policy, reference, beta=beta)


def sigmoid_norm_loss(
    policy: PairLogps, reference: PairLogps, *, lengths: PairLengths, beta: float
) -> PreferenceTerms:
    """The DPO loss on means over each completion's tokens.

    Lambert et al., "Tulu 3" (arXiv:2411.15124), section on length-normalized DPO.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      lengths: Tokens of each completion.
      beta: Strength of the pull towards the reference, > 0; as log-ratios of a token
        are small, around 5.
    """
    policy, reference = per_token(policy, lengths), per_token(reference, lengths)
    return dpo_loss(policy, reference, beta=beta)


def exo_pair_loss(
    policy: PairLogps, reference: PairLogps, *, beta: float, label_smoothing: float
) -> PreferenceTerms:
    """`KL(Bernoulli(sigmoid(m)) || Bernoulli(1 - eps))`, in nats.

    Eq. 16 of Ji et al., "Towards Efficient Exact Optimization of Language Model
    Alignment" (arXiv:2402.00856): DPO has the divergence the other way round.

    Args:
      policy: Log-probabilities under the model in training.
      reference: Log-probabilities under the frozen model.
      beta: Strength of the pull towards the reference, > 0.
      label_smoothing: eps, in (0, 0.5): at 0 the divergence is infinite.
    """
    rewards = implicit_rewards(policy, reference, beta=beta)
    margin = rewards.chosen - rewards.rejected
    first = jax.nn.log_sigmoid(margin) - math.log1p(-label_smoothing)
    second = jax.nn.log_sigmoid(-margin) - math.log(label_smoothing)
    loss = jax.nn.sigmoid(margin) * first + jax.nn.sigmoid(-margin) * second
    return terms(loss, rewards)
