"""Tests of `rlaif_jax.evaluation.sparse_logistic`."""

import math

import numpy as np
import pytest

from rlaif_jax.evaluation.sparse_logistic import (
    cross_validated_strength,
    fit,
    sigmoid,
)


@pytest.fixture(scope="module")
def drawn():
    """Rows of a known model: a level of 0.8 and a weight of -1.5."""
    random = np.random.default_rng(0)
    x = np.stack([random.uniform(-1, 1, 400), np.ones(400)], axis=1)
    y = (random.random(400) < sigmoid(x @ np.array([-1.5, 0.8]))).astype(np.float64)
    return x, y


def test_a_level_alone_has_its_closed_form():
    # 3 of 4 won: strength * (4 p - 3) = -1 where the penalty's slope is 1, so
    # p = (3 - 1 / strength) / 4
    x, y = np.ones((4, 1)), np.array([1.0, 1.0, 1.0, 0.0])
    for strength in (2.0, 10.0, 1e4):
        p = (3 - 1 / strength) / 4
        assert fit(x, y, strength=strength) == pytest.approx(math.log(p / (1 - p)))


def test_a_weak_signal_is_shrunk_to_zero():
    # the slope of the loss at 0 is strength * (4 / 2 - 3) = -strength: within the
    # penalty's 1 up to there
    x, y = np.ones((4, 1)), np.array([1.0, 1.0, 1.0, 0.0])
    assert fit(x, y, strength=0.99)[0] == 0.0
    assert fit(x, y, strength=1.01)[0] > 0.0


def test_the_slope_at_the_solution_is_the_penaltys(drawn):
    x, y = drawn
    for strength in (0.05, 1.0, 100.0):
        w = fit(x, y, strength=strength)
        slope = strength * x.T @ (y - sigmoid(x @ w))
        at_zero = w == 0
        assert np.all(np.abs(slope[at_zero]) <= 1 + 1e-9)
        np.testing.assert_allclose(slope[~at_zero], np.sign(w[~at_zero]), atol=1e-7)


def test_a_soft_target_is_a_row_of_each_label_with_its_weight(drawn):
    x, _ = drawn
    half = np.full(400, 0.5)
    twice = np.concatenate([x, x])
    labels = np.concatenate([np.ones(400), np.zeros(400)])
    np.testing.assert_allclose(
        fit(x, half, strength=2.0), fit(twice, labels, strength=1.0), atol=1e-9
    )


def test_sides_that_are_told_apart_stay_finite():
    x = np.array([[-1.0, 1.0], [-0.5, 1.0], [0.5, 1.0], [1.0, 1.0]])
    w = fit(x, np.array([0.0, 0.0, 1.0, 1.0]), strength=1e4)
    assert np.isfinite(w).all() and 5 < w[0] < 50


def test_a_column_of_zeros_has_no_weight(drawn):
    _, y = drawn
    blank = np.stack([np.zeros(400), np.ones(400)], axis=1)
    w = fit(blank, y, strength=1e4)
    assert w[0] == 0.0 and sigmoid(w[1:])[0] == pytest.approx(y.mean(), abs=1e-6)


def test_noise_is_fitted_weakly_and_a_signal_strongly(drawn):
    x, y = drawn
    strengths = np.logspace(-4, 4, 10)
    chosen = cross_validated_strength(x, y, strengths=strengths, num_folds=5)
    assert chosen >= strengths[4]
    random = np.random.default_rng(1).permutation(np.repeat([0.0, 1.0], 200))
    noise = cross_validated_strength(x, random, strengths=strengths, num_folds=5)
    assert noise < chosen
