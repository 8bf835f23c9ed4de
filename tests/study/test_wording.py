"""Tests of `rlaif_jax.study.wording`."""

import pytest

from rlaif_jax.study.wording import (
    duration,
    flops,
    interval,
    measure_name,
    measure_value,
    number,
    p_value,
    points,
    usd,
)

MINUS = "\N{MINUS SIGN}"


def test_points_have_a_true_minus_and_no_negative_zero():
    assert [points(v) for v in (12.64, -2, -0.04)] == ["12.6", f"{MINUS}2.0", "0.0"]
    assert [points(v, signed=True) for v in (3, -3, 0.0)] == [
        "+3.0",
        f"{MINUS}3.0",
        "0.0",
    ]
    assert interval(-1, 2) == f"{MINUS}1.0 to 2.0"


def test_numbers_have_a_true_minus_and_no_negative_zero():
    assert [number(v) for v in (1.234, -2, -0.001)] == ["1.23", f"{MINUS}2.00", "0.00"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "< 0.001"), (0.0042, "0.004"), (0.04999, "0.05"), (1.0, "1.00")],
)
def test_probabilities_are_not_told_too_exactly(value, text):
    assert p_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "$0"),
        (0.00001, "< $0.0001"),
        (0.00423, "$0.0042"),
        (0.01, "$0.01"),
        (12.345, "$12.35"),
        (4321.9, "$4,322"),
    ],
)
def test_dollars_keep_what_matters(value, text):
    assert usd(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (3.14, "3.1 s"), (33.2, "33 s"), (372, "6.2 min"), (9000, "2.5 h")],
)
def test_durations_stay_short(seconds, text):
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.26e15, "1.3 \u00d7 10\u00b9\u2075"),
        (3e20, "3.0 \u00d7 10\u00b2\u2070"),
    ],
)
def test_operations_are_told_in_powers_of_ten(value, text):
    assert flops(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_shares_are_percentages_and_other_measures_numbers():
    assert measure_value("style_rate", 0.324) == "32.4\N{NO-BREAK SPACE}%"
    assert measure_value("accuracy", 1.0) == "100.0\N{NO-BREAK SPACE}%"
    assert measure_value("true_reward", -0.5) == f"{MINUS}0.5"
    assert [measure_name(n) for n in ("style_rate", "true_reward")] == [
        "Style",
        "True reward",
    ]


def test_a_model_in_a_measures_name_is_called_what_it_is_called():
    assert measure_name("by_GPT_4.1-Mini_rate") == "By GPT_4.1-Mini"
    assert measure_name("by_lab-critic (2)_rate") == "By lab-critic (2)"
