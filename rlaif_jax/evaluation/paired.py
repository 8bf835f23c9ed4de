"""Differences between policies that were judged on the same prompts.

Shape letters: R seeds (runs), N prompts.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from scipy.special import stdtr, stdtrit

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation import random_effects
from rlaif_jax.evaluation.bootstrap import Bootstrap, bootstrap
from rlaif_jax.evaluation.random_effects import (
    SIDE,
    Interval,
    Parts,
    Spread,
    contrast_interval,
    share_interval,
    variance_parts,
)
from rlaif_jax.evaluation.win_rate import from_outcomes
from rlaif_jax.records import Record
from rlaif_jax.typing import Number

_ROUNDING = 1e-9  # of sums of outcomes; a smaller difference is none

Outcomes = Mapping[str, Number | None]  # prompt id -> what the policy won, 0 to 1
SeedOutcomes = Mapping[int, Outcomes]  # seed -> outcomes of the policy trained with it


class Estimate(Record):
    """A mean over prompts and seeds with its 95 % interval, in percentage points."""

    value: float
    standard_error: float
    seed_error: float  # the part of it that seeds make; squares add up
    rest_error: float  # what prompts alone make seeds' means differ by, likewise
    seed_degrees: int  # of freedom with which seed_error is known; 0 of one seed
    degrees_of_freedom: float  # of Student's t
    low: float
    high: float
    n_prompts: int  # judged for every policy and seed; only these count
    n_dropped: int  # prompts without a verdict for some policy or seed
    n_seeds: int  # with one, the interval knows nothing of the spread between seeds

    def reversed(self) -> "Estimate":
        """The estimate of the opposite contrast."""
        ends = {"value": -self.value, "low": -self.high, "high": -self.low}
        return self.model_copy(update=ends)

    def p_above(self, bound: Number = 0.0) -> float:
        """One-sided p-value of a contrast, against a truth of `bound` or less.

        It is below 0.025 exactly where the interval lies above `bound`.
        """
        quantile = stdtrit(self.degrees_of_freedom, 1.0 - SIDE)
        error = (self.high - self.low) / (2.0 * quantile)
        return float(stdtr(self.degrees_of_freedom, (bound - self.value) / error))

    @property
    def p_different(self) -> float:
        """Two-sided p-value of a contrast, against a truth of zero."""
        above = self.p_above()
        return 2.0 * min(above, 1.0 - above)


class SignTest(Record):
    """On how many prompts one policy won more than another."""

    n_better: int
    n_worse: int
    p_value: float  # exact and two-sided, of n_better against n_worse


class PairedTest(Record):
    """Two policies on the same prompts."""

    win_rate_a: float  # percent, on the prompts that count
    win_rate_b: float
    difference: Estimate  # a minus b
    bootstrap: Bootstrap  # a second opinion on its interval
    n_better: int  # prompts on which a won more than b
    n_worse: int
    p_value: float  # exact two-sided sign test of n_better against n_worse


def paired_test(a: Outcomes, b: Outcomes) -> PairedTest:
    """The difference in win rate of two policies, prompt by prompt.

    The standard error is the sample deviation of the per-prompt difference over the
    square root of the number of prompts. It is smaller than that of two independent
    win rates wherever the same prompts are hard for both.

    Raises:
      UsageError: If the prompts differ, or fewer than two were judged for both.
    """
    difference = pooled_difference({0: a}, {0: b})
    judged = [key for key, won in a.items() if won is not None and b[key] is not None]
    signs = pooled_sign_test({0: a}, {0: b})
    return PairedTest(
        win_rate_a=from_outcomes(a[key] for key in judged).win_rate,
        win_rate_b=from_outcomes(b[key] for key in judged).win_rate,
        difference=difference,
        bootstrap=pooled_bootstrap({0: a}, {0: b}),
        n_better=signs.n_better,
        n_worse=signs.n_worse,
        p_value=signs.p_value,
    )


def pooled_sign_test(a: SeedOutcomes, b: SeedOutcomes) -> SignTest:
    """The sign test of what `a` and `b` won on each prompt, on average over seeds.

    Prompts are independent draws, seeds of one prompt are not: each prompt counts
    once. So it says nothing of other runs, however many seeds there are.

    Raises:
      UsageError: As `pooled_contrast`.
    """
    gained = _judged([(1.0, a), (-1.0, b)])[0].sum(axis=0)
    n_better, n_worse = (
        int((gained > _ROUNDING).sum()),
        int((gained < -_ROUNDING).sum()),
    )
    return SignTest(
        n_better=n_better, n_worse=n_worse, p_value=sign_test(n_better, n_worse)
    )


def pooled_bootstrap(a: SeedOutcomes, b: SeedOutcomes) -> Bootstrap:
    """The interval of `a` minus `b` from resampled prompts and seeds.

    Raises:
      UsageError: As `pooled_contrast`.
    """
    return bootstrap(_judged([(1.0, a), (-1.0, b)])[0])


def sign_test(n_better: int, n_worse: int) -> float:
    """Exact two-sided p-value that better and worse are equally likely.

    `min(1, 2 * P(X <= min(better, worse)))` for `X` binomial with probability one
    half, in whole numbers, so no count is too large for it.
    """
    n = n_better + n_worse
    term = total = 1  # n choose 0
    for k in range(min(n_better, n_worse)):
        term = term * (n - k) // (k + 1)
        total += term
    return min(1.0, 2 * total / 2**n)


def seed_spread(arms: Iterable[SeedOutcomes]) -> Spread:
    """How far the seeds of one arm lie apart, pooled over arms.

    Raises:
      UsageError: As `pooled_contrast`.
    """
    judged = (_judged([(1.0, outcomes)])[0] for outcomes in arms)
    return random_effects.seed_spread([variance_parts(d[None]) for d in judged])


def pooled_win_rate(
    outcomes: SeedOutcomes, *, spread: Spread | None = None
) -> Estimate:
    """The win rate of one arm over its seeds, with `random_effects.share_interval`.

    Args:
      outcomes: What every seed won.
      spread: Between the seeds of the study's arms; this arm's alone if None.

    Raises:
      UsageError: As `pooled_contrast`.
    """
    judged, n_dropped = _judged([(1.0, outcomes)])
    parts = variance_parts(judged[None])
    interval = share_interval(parts, spread or random_effects.seed_spread([parts]))
    return _estimate(interval, parts, n_dropped)


def pooled_difference(
    a: SeedOutcomes, b: SeedOutcomes, *, spread: Spread | None = None
) -> Estimate:
    """The win rate of `a` minus that of `b`; its formula is in `pooled_contrast`.

    Raises:
      UsageError: As `pooled_contrast`.
    """
    return pooled_contrast([(1.0, a), (-1.0, b)], spread=spread)


def pooled_contrast(
    terms: Sequence[tuple[Number, SeedOutcomes]], *, spread: Spread | None = None
) -> Estimate:
    """A weighted sum of win rates over prompts and seeds, with its interval.

    The sum is taken prompt by prompt and seed by seed, so what makes a prompt hard
    for all arms, or a seed bad for all, cancels. `random_effects.contrast_interval`
    has the formula. With one seed the spread between seeds is unknown and left out:
    such an interval speaks of other prompts, not of other runs.

    Args:
      terms: The weight of each arm, and what it won; every arm has the same seeds,
        and every seed the same prompts.
      spread: Between the seeds of the study's arms; of these terms' alone if None.

    Returns:
      The estimate in percentage points.

    Raises:
      UsageError: If seeds or prompts differ, or fewer than two prompts were judged
        for every arm and seed.
    """
    judged, n_dropped = _judged(terms)
    parts = variance_parts(judged[None])
    of_one = spread or seed_spread(outcomes for _, outcomes in terms)
    scale = sum(weight**2 for weight, _ in terms)
    of_sum = of_one._replace(seeds=scale * of_one.seeds, rest=scale * of_one.rest)
    return _estimate(contrast_interval(parts, of_sum), parts, n_dropped)


def _estimate(interval: Interval, parts: Parts, n_dropped: int) -> Estimate:
    """The only study's interval in percentage points."""
    return Estimate(
        value=100.0 * float(interval.mean[0]),
        standard_error=100.0 * float(interval.standard_error[0]),
        seed_error=100.0 * float(interval.seed_error[0]),
        rest_error=100.0 * float(np.sqrt(parts.rest[0] / parts.num_seeds)),
        seed_degrees=interval.seed_degrees,
        degrees_of_freedom=float(interval.degrees[0]),
        low=100.0 * float(interval.low[0]),
        high=100.0 * float(interval.high[0]),
        n_prompts=parts.num_prompts,
        n_dropped=n_dropped,
        n_seeds=parts.num_seeds,
    )


def _judged(
    terms: Sequence[tuple[Number, SeedOutcomes]],
) -> tuple[Float64[np.ndarray, "R N"], int]:
    """The weighted sum on the prompts that count, and how many do not."""
    weighted = _weighted(terms)
    judged = ~np.isnan(weighted).any(axis=0)
    n_prompts = int(judged.sum())
    if n_prompts < 2:
        raise UsageError(
            f"{n_prompts} of {judged.size} prompts have a verdict for every arm and "
            "seed: an interval needs at least 2"
        )
    return weighted[:, judged], judged.size - n_prompts


def _weighted(
    terms: Sequence[tuple[Number, SeedOutcomes]],
) -> Float64[np.ndarray, "R N"]:
    """The weighted sum of every seed and prompt; NaN where a verdict is missing."""
    first = terms[0][1]
    if not first:
        raise UsageError("no seed was evaluated: there is nothing to compare")
    seeds = sorted(first)
    prompt_ids = sorted(first[seeds[0]])
    total = np.zeros((len(seeds), len(prompt_ids)))
    for weight, outcomes in terms:
        _require_same("seeds", set(seeds), set(outcomes))
        for row, seed in enumerate(seeds):
            _require_same("prompts", set(prompt_ids), set(outcomes[seed]))
            won = [outcomes[seed][prompt_id] for prompt_id in prompt_ids]
            total[row] += weight * np.array(won, np.float64)  # None becomes NaN
    return total


def _require_same(what: str, expected: set, found: set) -> None:
    """Refuses to pair what was not measured on the same things."""
    if expected != found:
        odd = sorted(expected ^ found)
        raise UsageError(
            f"{what} differ: {len(odd)} are on one side only, such as {odd[0]!r}; "
            f"a paired comparison needs the same {what} on both sides"
        )
