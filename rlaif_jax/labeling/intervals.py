"""Estimates with 95 % intervals, where comparisons of one prompt may be alike.

Comparisons that share a prompt share what makes it hard, so each prompt counts as one
draw: errors are clustered by prompt. With one comparison a prompt they are the usual
ones. All intervals are closed formulas: equal input gives equal digits, and a million
comparisons take no longer than reading them.
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from rlaif_jax.normal import NORMAL_95
from rlaif_jax.records import Record
from rlaif_jax.typing import Number

_ROUNDING = 1e-12  # a smaller error is none

How = Literal["wilson", "normal", "order statistics"]


class Measure(Record):
    """An estimate and the interval that holds the truth in 95 of 100 audits."""

    value: float
    low: float
    high: float
    standard_error: float | None  # clustered by prompt; none of a quantile
    n: int  # comparisons, or calls, that it was counted over
    n_prompts: int  # that they belong to
    interval: How


def share(
    values: Float[np.ndarray, " N"], prompts: Int[np.ndarray, " N"]
) -> Measure | None:
    """The mean of values between 0 and 1, with Wilson's interval.

    Wilson's score interval (1927, J. Am. Stat. Assoc. 22) for `n` throws,

        (p + z^2/2n +- z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n),  z = 1.96,

    stays within [0, 1] and has a width where all values agree. `n` is the effective
    number of throws, `p (1-p) / SE^2` with SE clustered by prompt (Kish 1965,
    section 8.2: the design effect); the number of prompts where SE is 0.

    Args:
      values: From 0 to 1; NaN does not count.
      prompts: A number for each value's prompt.

    Returns:
      The share; None if nothing counts.
    """
    counted = ~np.isnan(values)
    x, clusters = values[counted], prompts[counted]
    if not x.size:
        return None
    p = float(x.mean())
    n_prompts = np.unique(clusters).size
    error = clustered_error((x - p) / x.size, clusters)
    throws = p * (1.0 - p) / error**2 if error > _ROUNDING else float(n_prompts)
    low, high = wilson(np.array([p]), np.array([throws]))
    return Measure(
        value=p,
        low=float(low[0]),
        high=float(high[0]),
        standard_error=error,
        n=x.size,
        n_prompts=n_prompts,
        interval="wilson",
    )


def mean(
    values: Float[np.ndarray, " N"], prompts: Int[np.ndarray, " N"]
) -> Measure | None:
    """The mean of any values, with the interval value +- 1.96 SE.

    Args:
      values: NaN does not count.
      prompts: A number for each value's prompt.

    Returns:
      The mean; None if fewer than two prompts count.
    """
    counted = ~np.isnan(values)
    x, clusters = values[counted], prompts[counted]
    if not x.size:
        return None
    return linearized(float(x.mean()), (x - x.mean()) / x.size, clusters)


def linearized(
    value: Number, influence: Float[np.ndarray, " N"], prompts: Int[np.ndarray, " N"]
) -> Measure | None:
    """A smooth function of means, with the interval value +- 1.96 SE.

    Args:
      value: The estimate.
      influence: What each comparison moves it by, to first order; they sum to 0.
      prompts: A number for each comparison's prompt.

    Returns:
      The estimate; None if fewer than two prompts count.
    """
    n_prompts = np.unique(prompts).size
    if n_prompts < 2:
        return None
    error = clustered_error(influence, prompts)
    return Measure(
        value=float(value),
        low=float(value) - NORMAL_95 * error,
        high=float(value) + NORMAL_95 * error,
        standard_error=error,
        n=influence.size,
        n_prompts=n_prompts,
        interval="normal",
    )


def quantile(
    values: Float[np.ndarray, " N"], prompts: Int[np.ndarray, " N"], *, q: Number
) -> Measure | None:
    """The value that a share `q` does not exceed, between two order statistics.

    The interval runs from rank `nq - 1.96 sqrt(nq (1-q))` to the same with plus,
    both rounded up (Conover 1999, Practical Nonparametric Statistics, section 3.2):
    it supposes nothing about the distribution. Where the ranks leave the sample, its
    ends stand in, and the interval holds less than it says.

    Args:
      values: NaN does not count.
      prompts: A number for each value's prompt.
      q: Between 0 and 1.

    Returns:
      The quantile; None if nothing counts.
    """
    counted = ~np.isnan(values)
    x = np.sort(values[counted])
    if not x.size:
        return None
    spread = NORMAL_95 * math.sqrt(x.size * q * (1.0 - q))
    ranks = [math.ceil(x.size * q + shift) for shift in (-spread, 0.0, spread)]
    low, value, high = (float(x[min(max(rank, 1), x.size) - 1]) for rank in ranks)
    return Measure(
        value=value,
        low=low,
        high=high,
        standard_error=None,
        n=x.size,
        n_prompts=np.unique(prompts[counted]).size,
        interval="order statistics",
    )


def clustered_error(
    influence: Float[np.ndarray, " N"], prompts: Int[np.ndarray, " N"]
) -> float:
    """The standard error of an estimate whose comparisons move it by `influence`.

        SE^2 = C / (C-1) * sum over prompts of (sum of a prompt's influences)^2

    for `C` prompts (Liang and Zeger 1986, Biometrika 73: the sandwich of a mean). With
    one comparison a prompt, that of a mean is the sample deviation (ddof = 1) over
    sqrt(N), as in AlpacaEval.

    Returns:
      The error; 0 of one prompt, which tells nothing.
    """
    _, places = np.unique(prompts, return_inverse=True)
    sums = np.bincount(places, weights=influence)
    if sums.size < 2:
        return 0.0
    return math.sqrt(sums.size / (sums.size - 1) * float((sums**2).sum()))


def wilson(
    p: Float[np.ndarray, " N"],
    throws: Float[np.ndarray, " N"],
    *,
    quantile: Number | Float[np.ndarray, " N"] = NORMAL_95,
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Both ends of Wilson's intervals; the formula is in `share`.

    Args:
      p: Shares.
      throws: Effective numbers that they were counted over.
      quantile: Of the normal distribution, or of t.
    """
    z2 = quantile**2
    middle = p + z2 / (2.0 * throws)
    spread = quantile * np.sqrt(p * (1.0 - p) / throws + z2 / (4.0 * throws**2))
    scale = 1.0 + z2 / throws
    low, high = (middle - spread) / scale, (middle + spread) / scale
    # exact at the ends, where rounding may leave 1e-17
    return np.where(p == 0.0, 0.0, low), np.where(p == 1.0, 1.0, high)
