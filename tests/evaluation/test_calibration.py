"""Tests of `rlaif_jax.evaluation.calibration`."""

import numpy as np
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.calibration import calibration

LOGIT = {p: float(np.log(p / (1 - p))) for p in (0.55, 0.75, 0.95)}


def test_hand_worked_bins():
    # sure to .75 four times and right three times; to .95 twice, and right once
    margins = [LOGIT[0.75]] * 3 + [-LOGIT[0.75], LOGIT[0.95], -LOGIT[0.95]]
    found = calibration(margins, num_bins=5)  # of width 0.1
    assert found.pairs == 6
    assert found.accuracy == pytest.approx(4 / 6)
    # 4/6 * |3/4 - .75| + 2/6 * |1/2 - .95|
    assert found.ece == pytest.approx(0.15)
    right, wrong = -np.log([0.75, 0.95]), -np.log([0.25, 0.05])
    expected = (3 * right[0] + wrong[0] + right[1] + wrong[1]) / 6
    assert found.loss == pytest.approx(expected)
    assert [b.n for b in found.bins] == [0, 0, 4, 0, 2]
    assert (found.bins[2].low, found.bins[2].high) == pytest.approx((0.7, 0.8))
    assert found.bins[4].confidence == pytest.approx(0.95)
    assert found.bins[4].accuracy == 0.5


def test_a_model_that_draws_from_its_own_probabilities_is_calibrated():
    rng = np.random.default_rng(0)
    margins = rng.normal(scale=2.0, size=200_000)
    chosen_won = rng.random(200_000) < 1 / (1 + np.exp(-margins))
    found = calibration(np.where(chosen_won, margins, -margins).tolist())
    assert found.ece < 0.01
    louder = calibration((4 * np.where(chosen_won, margins, -margins)).tolist())
    assert louder.ece > 0.1
    assert louder.accuracy == found.accuracy


def test_ties_are_wrong_but_not_surely():
    found = calibration([0.0, 0.0])
    assert (found.ties, found.accuracy) == (2, 0.0)
    assert found.ece == 0.0
    assert found.loss == pytest.approx(np.log(2))


def test_extreme_margins_are_certain_and_finite():
    found = calibration([1e4, -1e4])
    assert found.bins[-1].n == 2
    assert found.bins[-1].high == 1.0
    assert found.loss == pytest.approx(5e3)
    assert found.ece == pytest.approx(0.5)


def test_without_pairs_there_is_nothing_to_tell():
    with pytest.raises(UsageError, match="no held-out pairs"):
        calibration([])
