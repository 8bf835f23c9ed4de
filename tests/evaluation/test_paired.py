"""Tests of `rlaif_jax.evaluation.paired`."""

import math

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.paired import (
    paired_test,
    pooled_bootstrap,
    pooled_contrast,
    pooled_difference,
    pooled_sign_test,
    pooled_win_rate,
    seed_spread,
    sign_test,
)
from rlaif_jax.evaluation.win_rate import from_outcomes


def keyed(values):
    return {str(i): value for i, value in enumerate(values)}


def by_seed(table):
    return {seed: keyed(row) for seed, row in enumerate(table)}


def test_hand_worked_pair():
    # differences 1 0 1 -1: mean .25; squared deviations .5625 .0625 .5625 1.5625
    # sum to 2.75, so the error is sqrt(2.75 / 3 / 4); 2 better, 1 worse: p = 1
    result = paired_test(keyed([1, 0.5, 1, 0]), keyed([0, 0.5, 0, 1]))
    error = 100 * math.sqrt(2.75 / 12)
    assert result.difference.value == pytest.approx(25.0)
    assert result.difference.standard_error == pytest.approx(error)
    # 97.5 % of Student's t with 3 degrees of freedom lie below 3.182446
    assert result.difference.low == pytest.approx(25.0 - 3.182446 * error)
    assert result.difference.high == pytest.approx(25.0 + 3.182446 * error)
    assert (result.n_better, result.n_worse, result.p_value) == (2, 1, 1.0)
    assert (result.win_rate_a, result.win_rate_b) == (62.5, 37.5)


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    # 2 * (1 + 5) / 32; 2 / 32; 2 * (1 + 10 + 45) / 1024; a tie is no evidence
    [(4, 1, 0.375), (0, 5, 0.0625), (8, 2, 0.109375), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_sign_test_by_hand(better, worse, p_value):
    assert sign_test(better, worse) == pytest.approx(p_value)
    assert sign_test(worse, better) == sign_test(better, worse)


def test_sign_test_of_many_prompts_is_finite():
    assert 0 < sign_test(2_700, 2_300) < 1e-6
    assert sign_test(20_000, 0) == 0.0  # less than the smallest float


def test_identical_policies_do_not_differ():
    outcomes = keyed([1, 0, 0.5, 1])
    result = paired_test(outcomes, outcomes)
    assert (result.difference.value, result.difference.standard_error) == (0.0, 0.0)


def test_other_prompts_are_refused_by_name():
    with pytest.raises(UsageError, match=r"prompts differ: 1 are on one side.*'2'"):
        paired_test(keyed([1, 0, 1]), keyed([1, 0]))


def test_other_seeds_are_refused():
    with pytest.raises(UsageError, match="seeds differ"):
        pooled_difference({0: keyed([1, 0])}, {1: keyed([1, 0])})


def test_a_prompt_without_verdict_is_dropped_for_all():
    a = by_seed([[1, 1, 0, 0], [1, None, 1, 0]])
    b = by_seed([[0, 1, 0, 0], [0, 1, 1, 0]])
    estimate = pooled_difference(a, b)
    assert (estimate.n_prompts, estimate.n_dropped) == (3, 1)
    assert estimate.value == pytest.approx(100 / 3)


@pytest.mark.parametrize("table", [[[None, 1]], [[1]], [[None, None]]])
def test_too_few_verdicts_are_refused(table):
    with pytest.raises(UsageError, match="at least 2"):
        pooled_win_rate(by_seed(table))


def test_no_seed_is_refused():
    with pytest.raises(UsageError, match="no seed"):
        pooled_win_rate({})


def test_one_seed_has_the_error_of_alpaca_eval():
    values = [1, 0, 0.5, 1, 1, 0]
    pooled, single = pooled_win_rate({7: keyed(values)}), from_outcomes(values)
    assert pooled.value == pytest.approx(single.win_rate)
    assert pooled.standard_error == pytest.approx(single.standard_error)


def test_two_seeds_by_hand():
    # d = [[1 1], [0 0]]: prompts agree (var m = 0), seed means are 1 and 0 (variance
    # 1/2), nothing is left over, so SE^2 = 0 + (1/2) / 2
    estimate = pooled_win_rate(by_seed([[1, 1], [0, 0]]))
    assert estimate.value == 50.0
    assert estimate.standard_error == pytest.approx(50.0)


def test_repeating_a_seed_adds_no_certainty():
    row = [1, 0, 0, 1, 0.5, 1]
    once, thrice = pooled_win_rate(by_seed([row])), pooled_win_rate(by_seed([row] * 3))
    assert thrice.standard_error == pytest.approx(once.standard_error)


def test_a_difference_of_differences_is_one_contrast():
    arms = [by_seed([row]) for row in ([1, 1, 0], [0, 1, 0], [1, 0, 1], [1, 0, 0])]
    estimate = pooled_contrast(list(zip([1, -1, -1, 1], arms, strict=True)))
    gains = [pooled_difference(arms[0], arms[1]), pooled_difference(arms[2], arms[3])]
    assert estimate.value == pytest.approx(gains[0].value - gains[1].value)


def test_equal_outcomes_are_no_proof_of_equality():
    # none of 60 prompts differed: a share of 3/60 that does may well have been missed
    row = keyed([1, 0, 1, 0, 0.5] * 12)
    estimate = pooled_difference({0: row}, {0: row})
    assert (estimate.low, estimate.high) == (-5.0, 5.0)


def test_a_win_rate_near_the_edge_keeps_its_interval_inside():
    # Wilson with t: 60 of 60, 59 degrees: t^2 = 2.000995^2, 60 / (60 + t^2)
    estimate = pooled_win_rate({0: keyed([1] * 60)})
    assert estimate.high == 100.0
    assert estimate.low == pytest.approx(100 * 60 / (60 + 2.000995**2))


def test_the_p_value_is_a_half_of_a_twentieth_where_the_interval_ends():
    estimate = pooled_difference({0: keyed([1, 1, 0, 1])}, {0: keyed([0, 1, 0, 0])})
    assert estimate.p_above(estimate.low) == pytest.approx(0.025)
    assert estimate.p_above(estimate.high) == pytest.approx(0.975)
    assert estimate.p_above(estimate.value) == pytest.approx(0.5)


def test_the_other_arms_of_a_study_lend_their_spread_where_seeds_are_few():
    still = by_seed([[1, 0, 1, 0, 1, 1], [1, 0, 1, 1, 1, 0]])
    moving = by_seed([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0]])
    alone = pooled_win_rate(still)
    lent = pooled_win_rate(still, spread=seed_spread([still, moving]))
    assert (alone.seed_error, alone.value) == (0.0, lent.value)
    assert lent.seed_error > 0


def test_a_prompt_counts_once_in_the_sign_test_however_many_seeds():
    # prompt means of a - b: 1, 0 (better once, worse once), -1/2
    a = by_seed([[1, 1, 0, 0], [1, 0, 0, 0]])
    b = by_seed([[0, 0, 0, 0], [0, 1, 1, 0]])
    found = pooled_sign_test(a, b)
    assert (found.n_better, found.n_worse, found.p_value) == (1, 1, 1.0)


def test_the_bootstrap_is_over_the_prompts_that_both_were_judged_on():
    a, b = {0: keyed([1, None, 1, 1])}, {0: keyed([0, 0, 0, 0])}
    found = pooled_bootstrap(a, b)
    assert (found.low, found.high) == (100.0, 100.0)
