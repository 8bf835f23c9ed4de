"""Differences between policies that were judged on the same prompts.

Shape letters: R seeds (runs), N prompts.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.win_rate import from_outcomes
from rlaif_jax.records import Record
from rlaif_jax.typing import Number

NORMAL_95 = 1.96  # quantile of the normal distribution: 95 % lie within

Outcomes = Mapping[str, Number | None]  # prompt id -> what the policy won, 0 to 1
SeedOutcomes = Mapping[int, Outcomes]  # seed -> outcomes of the policy trained with it


class Estimate(Record):
    """A mean over prompts and seeds with its 95 % interval, in percentage points."""

    value: float
    standard_error: float
    low: float
    high: float
    n_prompts: int  # judged for every policy and seed; only these count
    n_dropped: int  # prompts without a verdict for some policy or seed
    n_seeds: int  # with one, the interval knows nothing of the spread between seeds

    def reversed(self) -> "Estimate":
        """The estimate of the opposite contrast."""
        ends = {"value": -self.value, "low": -self.high, "high": -self.low}
        return self.model_copy(update=ends)


class PairedTest(Record):
    """Two policies on the same prompts."""

    win_rate_a: float  # percent, on the prompts that count
    win_rate_b: float
    difference: Estimate  # a minus b
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
    judged = [
        (a_won, b_won)
        for prompt_id, a_won in a.items()
        if a_won is not None and (b_won := b[prompt_id]) is not None
    ]
    n_better = sum(a_won > b_won for a_won, b_won in judged)
    n_worse = sum(a_won < b_won for a_won, b_won in judged)
    return PairedTest(
        win_rate_a=from_outcomes(a_won for a_won, _ in judged).win_rate,
        win_rate_b=from_outcomes(b_won for _, b_won in judged).win_rate,
        difference=difference,
        n_better=n_better,
        n_worse=n_worse,
        p_value=sign_test(n_better, n_worse),
    )


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


def pooled_win_rate(outcomes: SeedOutcomes) -> Estimate:
    """The win rate of one arm over its seeds; its formula is in `pooled_contrast`.

    Raises:
      UsageError: As `pooled_contrast`.
    """
    return pooled_contrast([(1.0, outcomes)])


def pooled_difference(a: SeedOutcomes, b: SeedOutcomes) -> Estimate:
    """The win rate of `a` minus that of `b`; its formula is in `pooled_contrast`.

    Raises:
      UsageError: As `pooled_contrast`.
    """
    return pooled_contrast([(1.0, a), (-1.0, b)])


def pooled_contrast(terms: Sequence[tuple[Number, SeedOutcomes]]) -> Estimate:
    r"""A weighted sum of win rates over prompts and seeds, with its interval.

    With `d[s,p]` the weighted sum for seed `s` and prompt `p`, over `R` seeds and
    `N` prompts, `m[p]` its mean over seeds, `g[s]` its mean over prompts and `D` its
    mean over both,

        SE^2 = var(m) / N  +  max(0, var(g) - E / N) / R
        E    = sum (d[s,p] - m[p] - g[s] + D)^2 / ((R - 1) (N - 1))

    (variances with ddof = 1). The first part is the error of the prompts that were
    drawn, clustered by prompt; the second that of the seeds, less what the prompts
    explain of the spread between them, never below zero. This is the
    method-of-moments estimate of the two-way model `d = mean + seed + prompt + rest`
    with all three effects independent: prompts stand for prompts one might have
    drawn, seeds for runs one might have made with the same data and base model.

    The interval is value +- 1.96 SE, the normal quantile. That is exact for many
    prompts and either many seeds or seeds that hardly differ. Where the spread
    between seeds is what matters and seeds are few, it is too narrow: if the prompts
    contributed nothing, it would hold 88 % with 5 seeds and only 70 % with 2. With
    one seed the spread between seeds is unknown and left out altogether.

    Args:
      terms: The weight of each arm, and what it won; every arm has the same seeds,
        and every seed the same prompts.

    Returns:
      The estimate in percentage points.

    Raises:
      UsageError: If seeds or prompts differ, or fewer than two prompts were judged
        for every arm and seed.
    """
    weighted = _weighted(terms)
    judged = ~np.isnan(weighted).any(axis=0)
    n_prompts = int(judged.sum())
    if n_prompts < 2:
        raise UsageError(
            f"{n_prompts} of {judged.size} prompts have a verdict for every arm and "
            "seed: an interval needs at least 2"
        )
    value, standard_error = _mean_and_error(weighted[:, judged])
    return Estimate(
        value=100.0 * value,
        standard_error=100.0 * standard_error,
        low=100.0 * (value - NORMAL_95 * standard_error),
        high=100.0 * (value + NORMAL_95 * standard_error),
        n_prompts=n_prompts,
        n_dropped=judged.size - n_prompts,
        n_seeds=len(weighted),
    )


def _mean_and_error(d: Float64[np.ndarray, "R N"]) -> tuple[float, float]:
    """Mean and standard error under the two-way model."""
    seeds, prompts = d.shape
    by_prompt, by_seed, mean = d.mean(axis=0), d.mean(axis=1), d.mean()
    variance = by_prompt.var(ddof=1) / prompts
    if seeds > 1:
        rest = d - by_prompt - by_seed[:, None] + mean
        rest_variance = (rest**2).sum() / ((seeds - 1) * (prompts - 1))
        between = by_seed.var(ddof=1) - rest_variance / prompts
        variance += max(0.0, between) / seeds
    return float(mean), math.sqrt(variance)


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
