"""What a completion gains by its length alone.

Further shape letter: K coefficients.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlaif_jax.labeling.intervals import Measure, linearized, share

_MAX_STEPS = 50
_CONVERGED = 1e-10  # largest change of a coefficient
_IDENTIFIED = 15.0  # log odds; a larger one means that one side always wins
_SAME_LENGTH = 1e-9  # of tanh(d / s): lengths differ between groups alone


def longer_wins(
    p_first: Float[np.ndarray, " N"],
    difference: Float[np.ndarray, " N"],
    prompts: Int[np.ndarray, " N"],
) -> Measure | None:
    """How often the longer completion wins; ties and equal lengths do not count.

    Args:
      p_first: Probability that the first is better; NaN without a verdict.
      difference: Length of the first less that of the second, in characters.
      prompts: A number for each comparison's prompt.
    """
    won = np.where((p_first > 0.5) == (difference > 0), 1.0, 0.0)
    counts = (p_first != 0.5) & ~np.isnan(p_first) & (difference != 0)
    return share(np.where(counts, won, np.nan), prompts)


def length_slope(
    won: Float[np.ndarray, " N"],
    difference: Float[np.ndarray, " N"],
    *,
    prompts: Int[np.ndarray, " N"],
    groups: Int[np.ndarray, " N"],
) -> Measure | None:
    """What being longer adds to the log odds of winning, between equal writers.

    The slope `b` of the logistic model

        P(won) = sigmoid(a[group] + b tanh(d / s))

    with `d` the difference of lengths and `s` its standard deviation, as AlpacaEval 2
    measures length (Dubois et al. 2024, arXiv:2404.04475, Eq. 2), without its term for
    an instruction's difficulty. Each pair of generators has an intercept of its own,
    or a strong model that writes much would pass for a critic that loves length.
    From much shorter to much longer, the log odds move by `2b`.

    Args:
      won: What the first completion won, from 0 to 1; NaN does not count.
      difference: Its length less the other's, in characters.
      prompts: A number for each comparison's prompt.
      groups: A number for its pair of generators.

    Returns:
      The slope, in nats; None if the data do not determine it.
    """
    fit = _fit(won, difference, prompts=prompts, groups=groups)
    if fit is None:
        return None
    return linearized(fit.coefficients[-1], fit.influences[:, -1], fit.prompts)


def equal_length_share(
    won: Float[np.ndarray, " N"],
    difference: Float[np.ndarray, " N"],
    prompts: Int[np.ndarray, " N"],
) -> Measure | None:
    """What a generator would win if its completions were as long as the others'.

    `sigmoid(a)` of the model in `length_slope`, with one intercept; the interval is
    that of `a`, through the sigmoid. It is not AlpacaEval 2's length-controlled win
    rate, which also has a difficulty for every instruction and shrinks coefficients.

    Args:
      won: What the generator won, from 0 to 1; NaN does not count.
      difference: Its length less the other's, in characters.
      prompts: A number for each comparison's prompt.

    Returns:
      The share; None if the data do not determine it.
    """
    groups = np.zeros(won.shape, np.int64)
    fit = _fit(won, difference, prompts=prompts, groups=groups)
    if fit is None:
        return None
    odds = linearized(fit.coefficients[0], fit.influences[:, 0], fit.prompts)
    if odds is None or odds.standard_error is None:
        return None
    at = {name: _sigmoid(getattr(odds, name)) for name in ("value", "low", "high")}
    error = odds.standard_error * at["value"] * (1.0 - at["value"])
    return odds.model_copy(update={**at, "standard_error": error})


class _Fit(NamedTuple):
    """A fitted logistic model: an intercept a group, then the slope.

    Attributes:
      coefficients: In nats.
      influences: What each comparison moves them by.
      prompts: Of the comparisons that tell something.
    """

    coefficients: Float[np.ndarray, " K"]
    influences: Float[np.ndarray, "N K"]
    prompts: Int[np.ndarray, " N"]


def _fit(
    won: Float[np.ndarray, " N"],
    difference: Float[np.ndarray, " N"],
    *,
    prompts: Int[np.ndarray, " N"],
    groups: Int[np.ndarray, " N"],
) -> _Fit | None:
    """The model of largest likelihood, by Newton's method; None if there is none."""
    tells = _varied(won, groups)
    if tells.sum() < 2 or (scale := difference[tells].std(ddof=1)) == 0.0:
        return None
    names, places = np.unique(groups[tells], return_inverse=True)
    x = np.zeros((int(tells.sum()), names.size + 1))
    x[np.arange(len(x)), places] = 1.0
    x[:, -1] = lengths = np.tanh(difference[tells] / scale)
    means = np.bincount(places, weights=lengths) / np.bincount(places)
    if np.abs(lengths - means[places]).max() < _SAME_LENGTH:
        return None
    y = won[tells]
    coefficients = np.zeros(x.shape[1])
    for _ in range(_MAX_STEPS):
        p = _sigmoids(x @ coefficients)
        try:
            inverse = np.linalg.inv((x * (p * (1.0 - p))[:, None]).T @ x)
        except np.linalg.LinAlgError:
            return None
        change = inverse @ (x.T @ (y - p))
        coefficients = coefficients + change
        if not np.abs(coefficients).max() < _IDENTIFIED:
            return None
        if np.abs(change).max() < _CONVERGED:
            influences = (x * (y - p)[:, None]) @ inverse
            return _Fit(coefficients, influences, prompts[tells])
    return None


def _varied(won: Float[np.ndarray, " N"], groups: Int[np.ndarray, " N"]) -> np.ndarray:
    """Which comparisons count: groups in which one side always wins tell nothing."""
    counted = ~np.isnan(won)
    _, places = np.unique(groups, return_inverse=True)
    sums = np.bincount(places[counted], weights=won[counted], minlength=len(groups))
    sizes = np.bincount(places[counted], minlength=len(groups))
    varied = (sums > 0.0) & (sums < sizes)
    return counted & varied[places]


def _sigmoids(x: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Without overflow, whatever the sign."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _sigmoid(x: float) -> float:
    return float(_sigmoids(np.array([x]))[0])
