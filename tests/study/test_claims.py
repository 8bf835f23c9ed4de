"""Tests of `rlaif_jax.study.claims`."""

import pytest

from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.study.claims import ClaimConfig, judge, require_arms


def arm(wins: int, losses: int):
    """One seed that won the first `wins` prompts."""
    won = [1.0] * wins + [0.0] * losses
    return {0: {f"{i:03}": value for i, value in enumerate(won)}}


ARMS = {"high": arm(80, 20), "even": arm(51, 49), "half": arm(50, 50)}


def claim(greater, lesser, **fields):
    return ClaimConfig(text="", greater=greater, lesser=lesser, **fields)


@pytest.mark.parametrize(
    ("greater", "lesser", "relation", "verdict"),
    [
        ("high", "half", ">", "supported"),  # +30, interval 21.0 to 39.0
        ("half", "high", ">", "not supported"),
        ("even", "half", ">", "undecided"),  # +1, interval -0.96 to 2.96
        ("half", "half", ">", "not supported"),  # 0 to 0: not greater
        ("half", "half", ">=", "supported"),  # 0 to 0: as good
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
    assert contrast.low == pytest.approx(30.0 - 196 * (0.21 / 99) ** 0.5)


@pytest.mark.parametrize(("margin", "verdict"), [(0, "undecided"), (3, "supported")])
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
