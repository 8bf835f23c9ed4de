"""Tests of `rlaif_jax.labeling.intervals`."""

import math

import numpy as np
import pytest

from rlaif_jax.labeling.intervals import clustered_error, mean, quantile, share

ALONE = np.arange(10)


def test_wilsons_interval_by_hand():
    # p = .8; SE^2 = .16 / 9, so 9 throws: (.8 + 3.8416/18 +- 1.96 sqrt(.16/9 +
    # 3.8416/324)) / (1 + 3.8416/9) = (1.013422 +- .337408) / 1.426844
    found = share(np.array([1.0] * 8 + [0.0] * 2), ALONE)
    assert found.value == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx((0.473783, 0.946724), abs=1e-5)
    assert (found.n, found.n_prompts, found.interval) == (10, 10, "wilson")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_shares_without_a_hit_or_a_miss_have_a_width(value):
    # high = (z^2/n) / (1 + z^2/n) with n = 20 prompts: .19208 / 1.19208
    found = share(np.full(40, value), np.repeat(np.arange(20), 2))
    width = found.high - found.low
    assert width == pytest.approx(0.161130, abs=1e-5)
    assert value in (found.low, found.high)


def test_repeating_every_comparison_tells_nothing_new():
    x = np.array([1, 0, 0, 1, 1, 0.5, 0, 1, 1, 1])
    once, often = share(x, ALONE), share(np.repeat(x, 12), np.repeat(ALONE, 12))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (often.n, often.n_prompts) == (120, 10)


def test_equal_values_between_the_ends_keep_a_width():
    found = share(np.full(10, 0.3), ALONE)
    assert found.low < 0.2 < 0.4 < found.high


def test_one_comparison_a_prompt_has_the_error_of_alpaca_eval():
    x = np.array([0, 1, 1, 0.5, 0.5, 1, 0, 1, 1, 0.25])
    error = x.std(ddof=1) / math.sqrt(10)
    assert share(x, ALONE).standard_error == pytest.approx(error, abs=1e-15)
    found = mean(x, ALONE)
    assert found.standard_error == pytest.approx(error, abs=1e-15)
    assert found.high - found.value == pytest.approx(1.96 * error)


def drawn(random, num_prompts, size):
    """Verdicts of which those of one prompt are alike."""
    chance = random.beta(2, 2, num_prompts)
    prompts = np.repeat(np.arange(num_prompts), size)
    return (random.random(prompts.size) < chance[prompts]).astype(float), prompts


def test_errors_are_those_of_a_bootstrap_over_prompts():
    random = np.random.default_rng(0)
    x, prompts = drawn(random, 150, 6)
    by_prompt = x.reshape(150, 6).mean(axis=1)
    draws = random.integers(0, 150, (4000, 150))
    expected = by_prompt[draws].mean(axis=1).std()
    assert share(x, prompts).standard_error == pytest.approx(expected, rel=0.05)
    naive = x.std(ddof=1) / math.sqrt(x.size)
    assert expected > 1.3 * naive


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(1)
    held = 0
    for _ in range(500):
        found = share(*drawn(random, 60, 5))
        held += found.low <= 0.5 <= found.high
    assert 0.925 <= held / 500 <= 0.975


def test_quantiles_lie_between_order_statistics():
    # ranks 50 -+ 1.96 * 5, rounded up: 41 and 60; 95 + 1.96 sqrt(4.75) = 99.3: 100
    x = np.random.default_rng(2).permutation(np.arange(1.0, 101.0))
    found = quantile(x, np.arange(100), q=0.5)
    assert (found.low, found.value, found.high) == (41.0, 50.0, 60.0)
    assert found.standard_error is None
    assert quantile(x, np.arange(100), q=0.95).high == 100.0


def test_what_is_not_known_does_not_count():
    x = np.array([math.nan, 1.0, math.nan, 0.0, 1.0])
    prompts = np.arange(5)
    for found in (share(x, prompts), mean(x, prompts), quantile(x, prompts, q=0.5)):
        assert (found.n, found.n_prompts) == (3, 3)
    for nothing in (np.full(5, math.nan), np.zeros(0)):
        places = np.arange(nothing.size)
        assert share(nothing, places) is None
        assert mean(nothing, places) is None
        assert quantile(nothing, places, q=0.5) is None


def test_one_prompt_tells_little():
    x, prompts = np.array([1.0, 0.0, 1.0, 1.0]), np.zeros(4, int)
    assert mean(x, prompts) is None
    assert clustered_error(x - x.mean(), prompts) == 0.0
    found = share(x, prompts)
    assert found.high - found.low > 0.7
