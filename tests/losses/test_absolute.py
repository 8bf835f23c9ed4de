"""Tests of `rlaif_jax.losses.absolute`; recorded values are TRL 1.16's in float64."""

import numpy as np
import pytest

from rlaif_jax.losses import (
    apo_down_loss,
    apo_zero_loss,
    bco_pair_loss,
    dpo_loss,
    nca_pair_loss,
    sppo_hard_loss,
)

LOG_3 = np.log(3.0)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (nca_pair_loss, 1.2345203487),
        (bco_pair_loss, 1.0820632306),
        (sppo_hard_loss, 128.5466666667),
        (apo_zero_loss, 0.8003231659),
        (apo_down_loss, 0.7893864993),
    ],
)
def test_recorded_values(recorded, loss, value):
    found, _ = recorded.mean(loss, "reference", beta=0.1)
    assert found == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "chosen", "rejected"),
    [
        (
            nca_pair_loss,
            [-0.00833333, -0.00820833, -0.00945757],
            [0.00833333, 0.0045152, 0.00183454],
        ),
        (
            bco_pair_loss,
            [-0.01666667, -0.01658333, -0.01741616],
            [0.01666667, 0.0090304, 0.00366909],
        ),
        (
            apo_zero_loss,
            [-0.00833333, -0.00833313, -0.00831648],
            [0.00833333, 0.00658396, 0.00326522],
        ),
    ],
)
def test_recorded_gradients(recorded, loss, chosen, rejected):
    _, grads = recorded.mean(loss, "reference", beta=0.1)
    np.testing.assert_allclose(grads, [chosen, rejected], atol=6e-9)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        # sigmoid(log 3) = 3/4, of the chosen reward; sigmoid(0) = 1/2, of the rejected
        (nca_pair_loss, -np.log(0.75) - np.log(0.25) / 2 - np.log(0.5) / 2),
        (bco_pair_loss, -np.log(0.75) - np.log(0.5)),
        (apo_zero_loss, 0.25 + 0.5),
        (apo_down_loss, 0.75 + 0.25),
        # ((log 3 - 1/2) / 2)^2 + (1/2 / 2)^2
        (sppo_hard_loss, (LOG_3 - 0.5) ** 2 / 4 + 1 / 16),
    ],
)
def test_hand_worked_pair(double, pair, loss, value):
    # rewards are 2 * log(3) / 2 and 0
    terms = loss(pair(-1.0 + LOG_3 / 2, -4.0), pair(-1.0, -4.0), beta=2.0)
    assert float(terms.loss[0]) == pytest.approx(value, rel=1e-12)
    assert float(terms.margin[0]) == pytest.approx(LOG_3, rel=1e-12)


@pytest.mark.parametrize("loss", [nca_pair_loss, bco_pair_loss, sppo_hard_loss])
def test_what_lowers_both_sides_alike_is_seen(pair, loss):
    start = pair(-1.0, -1.0)
    here, lower = (loss(pair(x, x), start, beta=0.1).loss for x in (-1.0, -9.0))
    assert here != lower


def test_apo_zero_lifts_the_chosen_and_apo_down_lowers_it(recorded):
    _, zero = recorded.mean(apo_zero_loss, "reference", beta=0.1)
    assert (zero[0] < 0).all() and (zero[1] > 0).all()
    _, down = recorded.mean(apo_down_loss, "reference", beta=0.1)
    # d/dc sigmoid(c) is over d/dc sigmoid(c - r) unless c = c - r: then they cancel
    assert down[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert (down[0, 1:] > 0).all() and (down[1] > 0).all()


def test_a_weighted_sum_is_the_one_that_trl_calls_mpo(recorded):
    dpo, _ = recorded.mean(dpo_loss, "reference", beta=0.1)
    bco, _ = recorded.mean(bco_pair_loss, "reference", beta=0.1)
    nll = 11.5 / 10  # of the chosen, over all their tokens
    assert 0.8 * dpo + 0.2 * bco + nll == pytest.approx(1.6686358139, rel=1e-9)
