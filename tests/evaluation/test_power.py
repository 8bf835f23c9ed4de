"""Tests of `rlaif_jax.evaluation.power`."""

from statistics import median

import numpy as np
import pytest
from scipy.special import ndtr

from rlaif_jax.evaluation.paired import Estimate, pooled_difference, seed_spread
from rlaif_jax.evaluation.power import chance_to_see, power, prompts_needed
from rlaif_jax.evaluation.random_effects import contrast_interval, variance_parts
from rlaif_jax.evaluation.random_effects import seed_spread as spread_of

WINS = (0.5, 0.58)
POINTS = 8.0


def estimate(error, *, seed_error=0.0, rest_error=0.0, seeds=1, prompts=500):
    return Estimate(
        value=0.0,
        standard_error=error,
        seed_error=seed_error,
        rest_error=rest_error,
        seed_degrees=2 * (seeds - 1),  # of two arms
        degrees_of_freedom=1e6,
        low=-1.0,
        high=1.0,
        n_prompts=prompts,
        n_dropped=0,
        n_seeds=seeds,
    )


def test_power_by_hand_where_t_is_normal():
    # 3 points at an error of 1.5: P(Z > 1.96 - 2) + P(Z < -1.96 - 2)
    found = chance_to_see(estimate(1.5, prompts=10**6), 3.0, prompts=10**6)
    assert found == pytest.approx(ndtr(2 - 1.959964) + ndtr(-3.959964), abs=1e-4)


def test_no_difference_is_seen_in_5_of_100():
    found = power(estimate(2.0, prompts=5000), 1e-9).power
    assert found == pytest.approx(0.05, abs=1e-4)


def test_prompts_for_three_points_by_hand():
    # an error of 2 with 500 prompts; (1.96 + .8416)^2 * 4 * 500 / 9 = 1744
    assert prompts_needed(estimate(2.0), 3.0) == pytest.approx(1744, rel=0.01)


def test_equal_arms_take_the_prompts_of_the_rule_of_three():
    # without any error an interval ends at 300 / prompts: 3 points take 101 prompts
    same = {str(p): float(p % 2) for p in range(100)}
    arms = pooled_difference({0: same}, {0: same})
    assert arms.high == 3.0
    assert power(arms, 3.0).power == 0.0
    assert [chance_to_see(arms, 3.0, prompts=n) for n in (2, 100, 101)] == [0, 0, 1]
    assert power(arms, 3.0).prompts == 101
    assert power(arms, 1.0).prompts == 301


def test_an_error_below_the_rule_of_three_does_not_shorten_the_interval():
    # half is max(1.96 * 0.1, 300 / 100 = 3): 3 points are seen every other time
    tiny = estimate(0.1, prompts=100)
    assert chance_to_see(tiny, 3.0, prompts=100) == pytest.approx(0.5, abs=1e-6)
    # Z > (300 / n - 3) / (0.1 sqrt(100 / n)) at 80 %: n = 103 has 81 %, 102 has 72 %
    wanted = [ndtr((3 - 300 / n) / (0.1 * (100 / n) ** 0.5)) for n in (102, 103)]
    assert wanted[0] < 0.8 <= wanted[1]
    assert prompts_needed(tiny, 3.0) == 103


def test_no_number_of_prompts_helps_against_seeds():
    assert power(estimate(2.5, seed_error=2.0, seeds=3)).prompts is None


def simulated(simulated_studies, model, prompts, studies=2000):
    return simulated_studies(WINS, prompts=prompts, studies=studies, **model)


def seen(studies):
    """The share of studies whose interval leaves out zero."""
    spread = spread_of([variance_parts(arm) for arm in studies])
    twice = spread._replace(seeds=2 * spread.seeds, rest=2 * spread.rest)
    found = contrast_interval(variance_parts(studies[1] - studies[0]), twice)
    return float(np.mean((found.low > 0) | (found.high < 0)))


def estimates(studies):
    for a, b in studies.swapaxes(0, 1)[:60].tolist():
        arms = [
            {seed: dict(zip(map(str, range(len(row))), row, strict=True))}
            for arm in (b, a)
            for seed, row in enumerate(arm)
        ]
        half = len(arms) // 2
        b_won, a_won = (
            {seed: won for one in part for seed, won in one.items()}
            for part in (arms[:half], arms[half:])
        )
        spread = seed_spread([a_won, b_won])
        yield pooled_difference(b_won, a_won, spread=spread)


@pytest.mark.parametrize(
    ("prompts", "model"),
    [
        (150, {"seeds": 1}),
        (300, {"seeds": 1}),
        (200, {"seeds": 3, "spread": 0.02}),
        (150, {"seeds": 5, "spread": 0.02}),
        (100, {"seeds": 10, "spread": 0.04}),
    ],
)
def test_the_power_is_that_of_simulated_studies(simulated_studies, prompts, model):
    studies = simulated(simulated_studies, model, prompts)
    predicted = [power(one, POINTS).power for one in estimates(studies)]
    assert median(predicted) == pytest.approx(seen(studies), abs=0.05)


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("spread", [0.0, 0.02, 0.05])
def test_few_seeds_whose_spread_is_known_have_the_power_it_says(
    simulated_studies, seeds, spread
):
    studies = simulated(simulated_studies, {"seeds": seeds, "spread": spread}, 200)
    parts = variance_parts(studies[1] - studies[0])
    between = max(0.0, float((parts.seeds - parts.rest).mean()) / seeds)
    known = estimate(
        100 * (float(parts.prompts.mean()) + between) ** 0.5,
        seed_error=100 * between**0.5,
        rest_error=100 * float((parts.rest / seeds).mean()) ** 0.5,
        seeds=seeds,
        prompts=200,
    )
    assert power(known, POINTS).power == pytest.approx(seen(studies), abs=0.05)


def test_the_prompts_it_asks_for_give_the_power_it_says(simulated_studies):
    model = {"seeds": 3}
    pilots = simulated(simulated_studies, model, 100, studies=60)
    needed = [prompts_needed(one, POINTS) for one in estimates(pilots)]
    prompts = int(median(n for n in needed if n is not None))
    studies = simulated(simulated_studies, model, prompts)
    assert seen(studies) == pytest.approx(0.8, abs=0.05)
