"""Tests of `rlaif_jax.labeling.length_bias`."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from rlaif_jax.labeling.length_bias import (
    equal_length_share,
    length_slope,
    longer_wins,
)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def drawn(seed, n, *, intercepts, slope):
    random = np.random.default_rng(seed)
    groups = random.integers(0, len(intercepts), n)
    difference = random.normal(300.0 * groups, 400.0).round()
    x = np.tanh(difference / difference.std(ddof=1))
    chance = sigmoid(np.array(intercepts)[groups] + slope * x)
    return (random.random(n) < chance).astype(float), difference, groups


def test_longer_wins_by_hand():
    # first longer and wins; second longer and wins; first longer and loses; the
    # others are a tie, of equal length, or without a verdict
    p_first = np.array([1.0, 0.0, 0.3, 0.5, 1.0, math.nan])
    difference = np.array([5.0, -2.0, 1.0, 9.0, 0.0, 3.0])
    found = longer_wins(p_first, difference, np.arange(6))
    assert (found.n, found.value) == (3, pytest.approx(2 / 3))


def test_the_fit_is_the_likeliest():
    won, difference, groups = drawn(0, 400, intercepts=(-0.5, 1.0), slope=1.2)
    won[:40] = 0.5  # draws count one half
    x = np.tanh(difference / difference.std(ddof=1))

    def loss(beta):
        p = sigmoid(beta[:2][groups] + beta[2] * x)
        return -(won * np.log(p) + (1 - won) * np.log(1 - p)).sum()

    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x
    found = length_slope(won, difference, prompts=np.arange(400), groups=groups)
    assert found.value == pytest.approx(best[2], abs=1e-5)
    one = groups == 1
    x = np.tanh(difference[one] / difference[one].std(ddof=1))
    won, difference = won[one], difference[one]

    def alone(beta):
        p = sigmoid(beta[0] + beta[1] * x)
        return -(won * np.log(p) + (1 - won) * np.log(1 - p)).sum()

    best = minimize(alone, np.zeros(2), method="BFGS", options={"gtol": 1e-8}).x
    found = equal_length_share(won, difference, np.arange(one.sum()))
    assert found.value == pytest.approx(sigmoid(best[0]), abs=1e-5)
    assert 0 < found.low < found.value < found.high < 1


def test_strong_writers_who_write_much_do_not_pass_for_length_bias():
    fair, naive = [], []
    for seed in range(25):
        won, difference, groups = drawn(
            seed, 1000, intercepts=(-1.5, 0.0, 1.5), slope=0.0
        )
        everyone = np.arange(1000)
        for found, names in ((fair, groups), (naive, 0 * groups)):
            found.append(length_slope(won, difference, prompts=everyone, groups=names))
    mean = np.mean([one.value for one in fair])
    error = np.mean([one.standard_error for one in fair]) / 5
    assert abs(mean) < 3 * error
    assert min(one.low for one in naive) > 0.3


def test_the_interval_holds_the_truth_as_often_as_it_says():
    # two comparisons a prompt with the same outcome: half the information
    held = held_share = 0
    for seed in range(300):
        won, difference, groups = drawn(seed, 200, intercepts=(0.4,), slope=0.8)
        twice = [np.repeat(part, 2) for part in (won, difference, groups)]
        prompts = np.repeat(np.arange(200), 2)
        found = length_slope(twice[0], twice[1], prompts=prompts, groups=twice[2])
        held += found.low <= 0.8 <= found.high
        found = equal_length_share(twice[0], twice[1], prompts)
        held_share += found.low <= sigmoid(0.4) <= found.high
    assert 0.92 <= held / 300 <= 0.98
    assert 0.92 <= held_share / 300 <= 0.98


def test_lengths_have_no_unit():
    won, difference, groups = drawn(3, 300, intercepts=(0.2,), slope=1.0)
    one, other = (
        length_slope(won, scale * difference, prompts=np.arange(300), groups=groups)
        for scale in (1.0, 7.0)
    )
    assert one.value == pytest.approx(other.value, abs=1e-9)


@pytest.mark.parametrize(
    ("won", "difference"),
    [
        ([1, 1, 1, 1], [3, -2, 5, 1]),  # one side always wins
        ([1, 0, 1, 0], [3, -2, 5, -1]),  # the longer always wins
        ([1, 0, 1, 0], [4, 4, 4, 4]),  # lengths always differ by as much
        ([1, math.nan, math.nan, math.nan], [1, 2, 3, 4]),
        ([math.nan] * 4, [1, 2, 3, 4]),
    ],
)
def test_what_the_data_do_not_determine_is_none(won, difference):
    won, difference = np.array(won, float), np.array(difference, float)
    prompts, groups = np.arange(4), np.zeros(4, int)
    assert length_slope(won, difference, prompts=prompts, groups=groups) is None
    assert equal_length_share(won, difference, prompts) is None


def test_lengths_that_differ_between_groups_alone_are_none():
    won = np.array([1.0, 0, 1, 0, 1, 0, 0, 1])
    groups = np.repeat([0, 1], 4)
    difference = np.repeat([10.0, -30.0], 4)
    prompts = np.arange(8)
    assert length_slope(won, difference, prompts=prompts, groups=groups) is None
