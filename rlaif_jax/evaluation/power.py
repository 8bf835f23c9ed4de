"""How likely a design is to see a difference, and how many prompts it would take."""

import math

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from rlaif_jax.evaluation.paired import Estimate
from rlaif_jax.evaluation.random_effects import SIDE, UNSEEN
from rlaif_jax.records import Record
from rlaif_jax.typing import Number

POINTS = 3.0  # the difference that is asked about where none is given
ENOUGH = 0.8  # the customary power
_NUM_DRAWS = 25
_MOST_PROMPTS = 10_000_000  # with more, only seeds matter


class Power(Record):
    """What a design can see of a true difference, in one comparison by itself."""

    difference: float  # percentage points
    power: float  # of the design that was used, from 0 to 1
    prompts: int | None  # for a power of 0.8; None if none suffice without more seeds


def power(estimate: Estimate, difference: Number = POINTS) -> Power:
    """The power to see a difference as noisy as an estimated one.

    Args:
      estimate: A contrast; of its value nothing is used.
      difference: Percentage points, above 0.
    """
    return Power(
        difference=difference,
        power=chance_to_see(estimate, difference, prompts=estimate.n_prompts),
        prompts=prompts_needed(estimate, difference),
    )


def prompts_needed(
    estimate: Estimate, difference: Number = POINTS, *, wanted: Number = ENOUGH
) -> int | None:
    """The fewest prompts, with as many seeds as there are, whose power is `wanted`.

    Returns:
      The number; None if the seeds alone make too much noise for any.
    """
    low, high = 1, 2
    while chance_to_see(estimate, difference, prompts=high) < wanted:
        if high > _MOST_PROMPTS:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = chance_to_see(estimate, difference, prompts=middle) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def chance_to_see(
    estimate: Estimate, difference: Number = POINTS, *, prompts: int
) -> float:
    r"""The chance that a 95 % interval leaves out zero if `difference` is the truth.

    With `n` prompts instead of `N`, all errors of prompts shrink by `N / n`; what is
    left are the seeds. Such a study would estimate the spread between its seeds anew,
    and with few seeds that estimate is what mostly decides how wide its interval is.
    So the chance is a mean over the estimates that it may make, chi-squared with the
    degrees of freedom of the seeds; for each of them

        chance = P(|Z SE + difference| > t(estimate) SE(estimate))

    with `SE` the error in truth, as far as this estimate tells it. No interval is
    shorter than the rule of three allows (`random_effects.contrast_interval`), so
    where no error was seen, the difference must be larger than that.
    """
    shrunk = estimate.n_prompts / prompts
    of_seeds = estimate.seed_error**2
    rest = estimate.rest_error**2 * shrunk
    of_prompts = (estimate.standard_error**2 - of_seeds) * shrunk
    error = math.sqrt(of_prompts + of_seeds)
    shortest = 100.0 * UNSEEN / prompts  # half an interval is never less
    if error == 0.0:
        return float(difference > shortest)
    found = (of_seeds + rest) * _drawn(estimate)
    between = np.maximum(found - rest, 0.0)
    doubt = (found**2 + rest**2 / (prompts - 1)) / max(estimate.seed_degrees, 1)
    doubt = of_prompts**2 / (prompts - 1) + np.where(between > 0.0, doubt, 0.0)
    half = np.sqrt(of_prompts + between)
    half = half * stdtrit((of_prompts + between) ** 2 / doubt, 1.0 - SIDE)
    half = np.maximum(half, shortest)
    seen = ndtr((difference - half) / error) + ndtr((-difference - half) / error)
    return float(seen.mean())


def _drawn(estimate: Estimate) -> np.ndarray:
    """Equally likely estimates of the spread between seeds, relative to the truth.

    With few seeds the larger of two counts: that of the contrast's own seeds, and that
    pooled over all arms, of which its own is a part and the others' another.
    """
    own_degrees = estimate.n_seeds - 1
    others = estimate.seed_degrees - own_degrees
    if not own_degrees:
        return np.zeros(1)
    own = _draws(own_degrees)
    if not others:
        return own
    own, other = own[:, None], _draws(others)[None, :]
    pooled = (own_degrees * own + others * other) / estimate.seed_degrees
    return np.maximum(own, pooled).ravel()


def _draws(degrees: int) -> np.ndarray:
    """Equally likely values of chi-squared over its degrees of freedom."""
    levels = (np.arange(_NUM_DRAWS) + 0.5) / _NUM_DRAWS
    return chdtri(degrees, levels) / degrees
