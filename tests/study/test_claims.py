"""Tests of `rlaif_jax.study.claims`."""

import itertools

import numpy as np
import pytest

from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.random_effects import (
    contrast_interval,
    seed_spread,
    variance_parts,
)
from rlaif_jax.study import claims
from rlaif_jax.study.claims import (
    ClaimConfig,
    ClaimVerdict,
    differing,
    require_arms,
    verdicts,
)


def arm(wins: int, losses: int):
    """One seed that won the first `wins` prompts."""
    won = [1.0] * wins + [0.0] * losses
    return {0: {f"{i:03}": value for i, value in enumerate(won)}}


ARMS = {"high": arm(80, 20), "even": arm(51, 49), "half": arm(50, 50)}


def judge(one, arms):
    return claims.judge({"one": one}, arms)["one"]


def claim(greater, lesser, **fields):
    return ClaimConfig(text="", greater=greater, lesser=lesser, **fields)


@pytest.mark.parametrize(
    ("greater", "lesser", "relation", "verdict"),
    [
        ("high", "half", ">", "supported"),  # +30, interval 21.0 to 39.0
        ("half", "high", ">", "not supported"),
        ("even", "half", ">", "undecided"),  # +1, interval -0.96 to 2.96
        ("half", "half", ">", "undecided"),  # -3 to 3: equal prompts prove nothing
        ("half", "half", ">=", "undecided"),
        ("half", "high", ">=", "not supported"),
        ("even", "half", ">=", "undecided"),
        ("half", "even", ">=", "undecided"),
    ],
)
def test_the_interval_decides(greater, lesser, relation, verdict):
    result = judge(claim(greater, lesser, relation=relation), ARMS)
    assert result.verdict == verdict


def test_the_interval_is_the_paired_one_by_hand():
    # differences: 30 of 100 are 1, so the error is sqrt(.3 * .7 / 99)
    contrast = judge(claim("high", "half"), ARMS).contrast
    assert contrast.value == pytest.approx(30.0)
    # 97.5 % of Student's t with 99 degrees of freedom lie below 1.984217
    assert contrast.low == pytest.approx(30.0 - 198.4217 * (0.21 / 99) ** 0.5)


@pytest.mark.parametrize(("margin", "verdict"), [(0, "undecided"), (5, "supported")])
def test_a_margin_says_what_still_counts_as_good(margin, verdict):
    result = judge(claim("half", "even", relation=">=", margin=margin), ARMS)
    assert result.verdict == verdict


def test_gains_are_compared():
    gains = claim("high", "half", minus_greater="even", minus_lesser="half")
    result = judge(gains, ARMS)
    assert (result.contrast.value, result.verdict) == (pytest.approx(29), "supported")


def test_the_formula_shows_the_margin():
    formula = claim("x", "y", relation=">=", margin=1.5).formula
    assert formula.endswith("y \N{MINUS SIGN} 1.5 points")


def test_an_unknown_arm_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"claim 'a' .* 'hihg'; did you mean 'high'"):
        require_arms({"a": claim("hihg", "half")}, ARMS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"minus_greater": "half"}, "go together"),
        ({"margin": 1.0}, "relation: '>='"),
        ({"margin": -1.0, "relation": ">="}, "greater than or equal to 0"),
        ({"relation": "<"}, "relation"),
        ({"graeter_over": "half"}, "unknown config key"),
    ],
)
def test_a_claim_that_means_nothing_is_refused(fields, message):
    document = {"text": "", "greater": "a", "lesser": "b"} | fields
    with pytest.raises(UsageError, match=message):
        validate(ClaimConfig, document)


def test_of_several_claims_each_is_held_to_more():
    arms = {"high": arm(60, 40), "half": arm(53, 47), "low": arm(50, 50)}
    sure, unsure = claim("high", "half"), claim("half", "low")
    alone = {name: judge(one, arms) for name, one in (("s", sure), ("u", unsure))}
    both = claims.judge({"s": sure, "u": unsure}, arms)
    assert both["s"].p_value == alone["s"].p_value
    assert both["s"].adjusted_p_value == pytest.approx(2 * both["s"].p_value)
    assert both["u"].adjusted_p_value == pytest.approx(both["u"].p_value)


def test_a_claim_sure_by_itself_may_be_undecided_among_many():
    # 5 of 100 better, none worse: 5 +- 4.35, p = .0124, of three claims .037
    arms = {"a": arm(55, 45), "b": arm(50, 50), "c": arm(51, 49)}
    sure, idle, other = claim("a", "b"), claim("b", "c"), claim("c", "b")
    assert judge(sure, arms).verdict == "supported"
    among = claims.judge({"sure": sure, "idle": idle, "other": other}, arms)
    assert among["sure"].verdict == "undecided"
    assert among["sure"].contrast.low > 0


def test_an_arm_named_twice_counts_with_its_whole_weight():
    # (a - b) - (b - c): b counts twice, and lends its seeds' variance four times
    gains = claim("high", "half", minus_greater="half", minus_lesser="even")
    result = judge(gains, ARMS)
    assert result.contrast.value == pytest.approx(80 - 100 + 51)


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (2, 0.03), (5, 0.03)])
def test_under_no_effect_false_findings_are_at_most_5_of_100(
    simulated_studies, seeds, spread
):
    studies = simulated_studies([0.5] * 4, seeds=seeds, prompts=60, spread=spread)
    lent = seed_spread([variance_parts(arm) for arm in studies])
    asked = [*itertools.combinations(range(4), 2), (2, 1, 0, 3)]
    p_values = [_p_above(studies, lent, arms) for arms in asked]
    found = [set(verdicts(each)) for each in np.stack(p_values, axis=1).tolist()]
    supported = sum(ClaimVerdict.SUPPORTED in one for one in found)
    assert supported <= 0.05 * len(found)
    assert sum(one != {ClaimVerdict.UNDECIDED} for one in found) <= 0.05 * len(found)
    # without the correction it would be more
    alone = sum(any(p <= 0.025 for p in each) for each in np.stack(p_values, axis=1))
    assert alone > 2 * supported


def _p_above(studies, lent, arms):
    """Of a difference, or of a difference of differences."""
    weights = (1.0, -1.0, -1.0, 1.0)[: len(arms)]
    d = sum(w * studies[arm] for w, arm in zip(weights, arms, strict=True))
    n = len(arms)
    scaled = lent._replace(seeds=n * lent.seeds, rest=n * lent.rest)
    return contrast_interval(variance_parts(d), scaled).p_above()


def test_arms_differ_in_what_is_told_of_them():
    one = {"base": "a", "prompts": "sft"}
    assert differing(one, one) == ()
    assert differing(one, {"base": "b", "prompts": "aif"}) == ("base", "prompts")
