"""The two-way model of prompts and seeds, and the intervals that follow from it.

What is measured of prompt `p` with seed `s` is `d[s,p] = mean + seed + prompt + rest`,
all three independent: prompts stand for prompts one might have drawn, seeds for runs
one might have made with the same data and base model. docs/statistics.md has the
simulations behind the choices made here.

Shape letters: B studies, R seeds, N prompts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.special import stdtr, stdtrit

from rlaif_jax.labeling.intervals import wilson
from rlaif_jax.typing import Number

CONFIDENCE = 0.95
SIDE = (1.0 - CONFIDENCE) / 2.0  # of the truths lie beyond each end
ENOUGH_SEEDS = 5  # from here on the spread between them needs no help of other arms
UNSEEN = 3.0  # prompts: what none of N showed may hold of 3/N, the rule of three


class Parts(NamedTuple):
    """A mean over prompts and seeds, and where its uncertainty comes from.

    Attributes:
      mean: Over both.
      prompts: Variance of the mean that the draw of prompts makes.
      seeds: Variance between the means of the seeds.
      rest: What the prompts explain of `seeds`.
      num_seeds: R.
      num_prompts: N.
    """

    mean: Float64[np.ndarray, " B"]
    prompts: Float64[np.ndarray, " B"]
    seeds: Float64[np.ndarray, " B"]
    rest: Float64[np.ndarray, " B"]
    num_seeds: int
    num_prompts: int


class Spread(NamedTuple):
    """How far the seeds of one arm lie apart, as several arms tell it.

    Attributes:
      seeds: Mean over arms of the variance between the means of its seeds.
      rest: What the prompts explain of it.
      degrees: Of freedom: seeds less one, over all arms.
    """

    seeds: Float64[np.ndarray, " B"]
    rest: Float64[np.ndarray, " B"]
    degrees: int


class Interval(NamedTuple):
    """A mean with its 95 % interval.

    Attributes:
      mean: Over prompts and seeds.
      standard_error: Of the mean.
      seed_error: The part of it that the seeds make; 0 of one seed, which cannot tell.
      degrees: Of freedom, of Student's t.
      seed_degrees: Of freedom with which the seeds' part is known; 0 of one seed.
      low: The lower end.
      high: The upper end.
    """

    mean: Float64[np.ndarray, " B"]
    standard_error: Float64[np.ndarray, " B"]
    seed_error: Float64[np.ndarray, " B"]
    degrees: Float64[np.ndarray, " B"]
    seed_degrees: int
    low: Float64[np.ndarray, " B"]
    high: Float64[np.ndarray, " B"]

    def p_above(self, bound: Number = 0.0) -> Float64[np.ndarray, " B"]:
        """One-sided p-values of contrasts, against a truth of `bound` or less.

        They are below 0.025 exactly where the interval lies above `bound`.
        """
        error = (self.high - self.low) / (2.0 * stdtrit(self.degrees, 1.0 - SIDE))
        return stdtr(self.degrees, (bound - self.mean) / error)


def variance_parts(d: Float64[np.ndarray, "B R N"]) -> Parts:
    r"""The mean of each study, and its variance taken apart.

    With `m[p]` the mean over seeds, `g[s]` that over prompts and `D` that over both,

        prompts = var(m) / N      seeds = var(g)
        rest    = sum (d[s,p] - m[p] - g[s] + D)^2 / ((R - 1) (N - 1)) / N

    (variances with ddof = 1; source: Searle, Casella and McCulloch 1992, Variance
    Components, chapter 4: the method of moments). One seed tells nothing of `seeds`
    and `rest`: they are 0.
    """
    _, num_seeds, num_prompts = d.shape
    by_prompt, by_seed = d.mean(axis=1), d.mean(axis=2)
    mean = by_prompt.mean(axis=1)
    seeds = rest = np.zeros_like(mean)
    if num_seeds > 1:
        left = d - by_prompt[:, None, :] - by_seed[:, :, None] + mean[:, None, None]
        degrees = (num_seeds - 1) * (num_prompts - 1)
        rest = np.square(left, out=left).sum(axis=(1, 2)) / degrees / num_prompts
        seeds = by_seed.var(axis=1, ddof=1)
    return Parts(
        mean=mean,
        prompts=by_prompt.var(axis=1, ddof=1) / num_prompts,
        seeds=seeds,
        rest=rest,
        num_seeds=num_seeds,
        num_prompts=num_prompts,
    )


def seed_spread(arms: Sequence[Parts]) -> Spread:
    """The spread between seeds of one arm, pooled over arms."""
    return Spread(
        seeds=np.mean([arm.seeds for arm in arms], axis=0),
        rest=np.mean([arm.rest for arm in arms], axis=0),
        degrees=sum(arm.num_seeds - 1 for arm in arms),
    )


def contrast_interval(parts: Parts, spread: Spread) -> Interval:
    """A mean of differences, plus and minus a quantile of t times its error.

    It is never shorter than the rule of three allows (Hanley and Lippman-Hand 1983,
    J. Am. Med. Assoc. 249): that two arms won the same on each of N prompts does not
    prove them equal, since what is true of up to 3/N of all prompts may well have
    been missed.

    Args:
      parts: Of the weighted sum of arms.
      spread: Of such a sum, from the single arms; see `seed_spread`.
    """
    error, seed_error, degrees = _error(parts, spread)
    known = _seed_degrees(parts, spread)
    half = stdtrit(degrees, 1.0 - SIDE) * error
    half = np.maximum(half, UNSEEN / parts.num_prompts)
    low, high = parts.mean - half, parts.mean + half
    return Interval(parts.mean, error, seed_error, degrees, known, low, high)


def share_interval(parts: Parts, spread: Spread) -> Interval:
    """A mean of shares with Wilson's interval, which stays within 0 and 1.

    The number of throws is the effective one, `p (1-p) / SE^2`, or the number of
    prompts where all agree; the quantile is that of t. `intervals.share` has the
    formula and its sources.
    """
    error, seed_error, degrees = _error(parts, spread)
    known = _seed_degrees(parts, spread)
    p = parts.mean
    throws = np.full_like(p, parts.num_prompts)
    np.divide(p * (1.0 - p), error**2, out=throws, where=error > 0.0)
    low, high = wilson(p, throws, quantile=stdtrit(degrees, 1.0 - SIDE))
    return Interval(p, error, seed_error, degrees, known, low, high)


def _error(
    parts: Parts, spread: Spread
) -> tuple[
    Float64[np.ndarray, " B"], Float64[np.ndarray, " B"], Float64[np.ndarray, " B"]
]:
    r"""The standard error, the seeds' part of it, and its degrees of freedom.

        SE^2 = prompts + max(0, seeds - rest) / R

    with the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2)

        df = SE^4 / (prompts^2 / (N-1) + (seeds^2 + rest^2 / (N-1)) / (R^2 degrees))

    From `ENOUGH_SEEDS` seeds on, `seeds` is the variance between these very means.
    With fewer it is hardly known; then the larger of it and that of the other arms'
    seeds counts, with the other arms' degrees.
    """
    prompts, last = parts.prompts, parts.num_prompts - 1
    if parts.num_seeds == 1:
        return np.sqrt(prompts), np.zeros_like(prompts), np.full_like(prompts, last)
    seeds, rest, degrees = parts.seeds, parts.rest, _seed_degrees(parts, spread)
    if parts.num_seeds < ENOUGH_SEEDS:
        lent = spread.seeds - spread.rest > seeds - rest
        seeds = np.where(lent, spread.seeds, seeds)
        rest = np.where(lent, spread.rest, rest)
    between = np.maximum(seeds - rest, 0.0) / parts.num_seeds
    doubt = (seeds**2 + rest**2 / last) / (parts.num_seeds**2 * degrees)
    doubt = prompts**2 / last + np.where(between > 0.0, doubt, 0.0)
    variance = prompts + between
    found = np.full_like(prompts, last)
    np.divide(variance**2, doubt, out=found, where=doubt > 0.0)
    return np.sqrt(variance), np.sqrt(between), found


def _seed_degrees(parts: Parts, spread: Spread) -> int:
    """The degrees of freedom with which the spread between seeds is known."""
    own = parts.num_seeds - 1
    return own if parts.num_seeds >= ENOUGH_SEEDS else max(own, spread.degrees)
