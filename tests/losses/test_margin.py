"""Tests of `rlaif_jax.losses.margin`; recorded values are TRL 1.16's in float64.

Those of the summed IPO and of the smoothed loss over beta are arithmetic.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.losses import (
    PairLengths,
    cdpo_over_beta_loss,
    dpo_loss,
    exo_pair_loss,
    hinge_loss,
    ipo_mean_loss,
    ipo_sum_loss,
    robust_loss,
    sigmoid_norm_loss,
)

BOTH = np.array([[-1.0], [1.0]])  # chosen falls as much as rejected rises


@pytest.mark.parametrize(
    ("loss", "options", "value", "gradient"),
    [
        (dpo_loss, {}, 0.3777789597, [0.01666667, 0.00896471, 0.00397343]),
        (
            dpo_loss,
            {"label_smoothing": 0.1},
            0.4777789597,
            [0.01333333, 0.00563138, 0.00064010],
        ),
        (
            robust_loss,
            {"label_smoothing": 0.1},
            0.2527789597,
            [0.02083333, 0.01313138, 0.00814010],
        ),
        (hinge_loss, {}, 1 / 3, [0.03333333, 0.03333333, 0.0]),
        # -2 (D - 5) / 3 for D = 0, 10, 20
        (ipo_sum_loss, {}, 91.6666666667, [10 / 3, -10 / 3, -10.0]),
    ],
)
def test_values_and_gradients_of_sums(recorded, loss, options, value, gradient):
    found, grads = recorded.mean(loss, "reference", beta=0.1, **options)
    assert found == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(grads, BOTH * gradient, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "chosen", "rejected"),
    [
        (
            ipo_mean_loss,
            [-1.66666667, -0.334, -0.4037037],
            [3.33333333, 0.4175, 0.20185185],
        ),
        (
            sigmoid_norm_loss,
            [-0.00833333, -0.00291964, -0.00467869],
            [0.01666667, 0.00364955, 0.00233934],
        ),
    ],
)
def test_gradients_of_means(recorded, loss, chosen, rejected):
    _, grads = recorded.mean(loss, "reference", lengths=recorded.lengths, beta=0.1)
    np.testing.assert_allclose(grads, [chosen, rejected], atol=1e-8)


@pytest.mark.parametrize(
    ("loss", "beta", "value"),
    [
        (ipo_mean_loss, 0.1, 11.5251009259),
        # (50^2 + 47.505^2 + 46.81666667^2) / 3; TRL's 2316.17505 was rounded to float32
        (ipo_mean_loss, 0.01, 2316.1751009259),
        (sigmoid_norm_loss, 0.1, 0.6052999816),
        (sigmoid_norm_loss, 5.0, 0.2310503746),
    ],
)
def test_values_of_means(recorded, loss, beta, value):
    found, _ = recorded.mean(loss, "reference", lengths=recorded.lengths, beta=beta)
    assert found == pytest.approx(value, rel=1e-8)


def test_more_recorded_values(recorded):
    found, _ = recorded.mean(hinge_loss, "reference", beta=0.05)
    assert found == pytest.approx(0.5, rel=1e-12)
    found, _ = recorded.mean(exo_pair_loss, "reference", beta=0.1, label_smoothing=1e-3)
    # TRL itself gives 1.4988375432: it takes the logarithm of eps in float32
    assert found == pytest.approx(1.4988375148, rel=1e-10)


def test_over_beta_is_the_smoothed_loss_and_its_gradient_divided(recorded):
    options = {"beta": 0.1, "label_smoothing": 0.1}
    smoothed, grads = recorded.mean(dpo_loss, "reference", **options)
    found, divided = recorded.mean(cdpo_over_beta_loss, "reference", **options)
    assert found == pytest.approx(10 * smoothed, rel=1e-12)
    np.testing.assert_allclose(divided, 10 * grads, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "options", "value"),
    [
        (ipo_sum_loss, {}, 72.25),
        (cdpo_over_beta_loss, {"label_smoothing": 0.1}, 13.27700282),
    ],
)
def test_agrees_with_the_code_of_the_paper(double, pair, loss, options, value):
    policy, reference = pair(-10.0, -12.0), pair(-11.0, -11.5)
    terms = loss(policy, reference, beta=0.05, **options)
    assert float(terms.loss[0]) == pytest.approx(value, rel=1e-8)


def test_hand_worked_hinge_and_ipo(pair):
    # D = (-1 - -2) - (-4 - -2) = 3, and 1 / 1 + 2 / 4 = 1.5 by token
    policy, reference = pair(-1.0, -4.0), pair(-2.0, -2.0)
    lengths = PairLengths(jnp.array([1]), jnp.array([4]))
    by_token = ipo_mean_loss(policy, reference, lengths=lengths, beta=0.25)
    found = [
        hinge_loss(policy, reference, beta=0.25).loss[0],  # 1 - 0.75
        hinge_loss(policy, reference, beta=0.5).loss[0],
        ipo_sum_loss(policy, reference, beta=0.25).loss[0],  # (3 - 2)^2
        by_token.loss[0],  # (1.5 - 2)^2
        by_token.margin[0],  # 0.25 * 1.5
    ]
    np.testing.assert_allclose(found, [0.25, 0.0, 1.0, 0.25, 0.375], rtol=1e-6)


def test_robust_is_unbiased_under_random_flips(double, pair):
    true, flipped = pair(-1.0, -4.0), pair(-4.0, -1.0)
    start = pair(-2.0, -2.0)
    options = {"beta": 0.5, "label_smoothing": 0.2}
    seen = 0.8 * robust_loss(true, start, **options).loss
    seen += 0.2 * robust_loss(flipped, start, **options).loss
    expected = dpo_loss(true, start, beta=0.5).loss
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_exo_is_the_divergence_and_0_where_it_says_what_is_known(double, pair):
    start = pair(0.0, 0.0)

    def exo(margin):
        options = {"beta": 1.0, "label_smoothing": 0.2}
        return float(exo_pair_loss(pair(margin, 0.0), start, **options).loss[0])

    assert exo(np.log(0.8 / 0.2)) == pytest.approx(0.0, abs=1e-12)
    # sigmoid(log 3) = 3/4: 3/4 log(0.75/0.8) + 1/4 log(0.25/0.2)
    expected = 0.75 * np.log(0.75 / 0.8) + 0.25 * np.log(0.25 / 0.2)
    assert exo(np.log(3.0)) == pytest.approx(expected, rel=1e-12)


def test_by_token_and_summed_agree_on_completions_of_one_token(pair):
    policy, reference = pair(-1.0, -4.0), pair(-2.0, -2.5)
    ones = PairLengths(jnp.array([1]), jnp.array([1]))
    for by_token, summed in (
        (ipo_mean_loss, ipo_sum_loss),
        (sigmoid_norm_loss, dpo_loss),
    ):
        one = by_token(policy, reference, lengths=ones, beta=0.3)
        np.testing.assert_array_equal(one, summed(policy, reference, beta=0.3))
