"""Win rates at equal length, as AlpacaEval 2 controls for it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.sparse_logistic import (
    cross_validated_strength,
    fit,
    sigmoid,
)
from rlaif_jax.records import Record
from rlaif_jax.typing import Number

_STRENGTHS = np.logspace(-4, 4, 10)  # scikit-learn's, of the data against the penalty
NUM_FOLDS = 5  # of the cross-validation; fewer verdicts tell nothing


class LengthControlled(Record):
    """The win rate if the candidate wrote as much as the baseline."""

    design: str  # the model's name in AlpacaEval
    win_rate: float  # percent
    standard_error: float  # percent
    n_total: int  # usable verdicts


def length_controlled(
    won: Sequence[Number | None], excess: Sequence[int]
) -> LengthControlled:
    """The win rate of AlpacaEval's design `length_controlled_minimal`.

    The logistic model without intercept (Dubois et al. 2024, arXiv:2404.04475)

        P(won) = sigmoid(w1 tanh(-d / s) + w2)

    with `d` the candidate's characters beyond the baseline's and `s` the sample
    deviation of `d` over all rows, under an L1 penalty whose strength is chosen by
    five-fold cross-validation, is asked for `d = 0`: the win rate is `sigmoid(w2)`.
    AlpacaEval's leaderboard has one more term, an instruction's difficulty, and rows
    of gamed baselines that pull the length's weight down, both from a file on the
    network (`evaluation.delegated`); its design without them is this one.

    Its own standard error, the spread of predictions over instructions, is 0 here, as
    all predictions are the same. This one is the sandwich estimate of White (1980,
    Econometrica 48) with the factor `n / (n - 1)`, through the sigmoid; where no
    lengths differ it is that of the win rate. It knows nothing of the penalty.

    Args:
      won: What the candidate won of each comparison, from 0 to 1; None is left out.
      excess: Characters of its text less those of the baseline's.

    Raises:
      UsageError: If fewer verdicts are usable than there are folds.
    """
    x = _features(excess)
    is_usable = np.array([one is not None for one in won])
    y = np.array([one for one in won if one is not None], np.float64)
    x = x[is_usable]
    if y.size < NUM_FOLDS:
        raise UsageError(
            f"{y.size} of {len(won)} comparisons have a usable verdict: a"
            f" length-controlled win rate needs at least {NUM_FOLDS}"
        )
    strength = cross_validated_strength(x, y, strengths=_STRENGTHS, num_folds=NUM_FOLDS)
    w = fit(x, y, strength=strength)
    share = float(sigmoid(w[1:])[0])
    return LengthControlled(
        design="length_controlled_minimal",
        win_rate=100.0 * share,
        standard_error=100.0 * share * (1.0 - share) * _error_of_level(x, y, w),
        n_total=y.size,
    )


def _features(excess: Sequence[int]) -> Float[np.ndarray, "N 2"]:
    """The length and the level of every comparison."""
    d = -np.asarray(excess, np.float64)
    scale = d.std(ddof=1) if d.size > 1 else 0.0
    length = np.tanh(d / scale) if scale else np.zeros_like(d)
    return np.stack([length, np.ones_like(d)], axis=1)


def _error_of_level(
    x: Float[np.ndarray, "N 2"], y: Float[np.ndarray, " N"], w: Float[np.ndarray, " 2"]
) -> float:
    """The standard error of the last coefficient, in nats."""
    p = sigmoid(x @ w)
    bread = np.linalg.pinv((x * (p * (1.0 - p))[:, None]).T @ x)
    influence = (x * (y - p)[:, None]) @ bread[:, -1]
    n = y.size
    return float(np.sqrt((influence**2).sum() * n / (n - 1)))
