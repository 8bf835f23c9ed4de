"""Tests of `rlaif_jax.losses.dpo`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.losses.dpo import PairLogps, dpo_loss

ZERO = jnp.zeros(1)


def pair(chosen: list[float], rejected: list[float]) -> PairLogps:
    return PairLogps(jnp.array(chosen), jnp.array(rejected))


def test_loss_is_log_2_when_policy_is_the_reference():
    logps = pair([-3.0, -7.0], [-5.0, -1.0])
    terms = dpo_loss(logps, logps, beta=0.1)
    np.testing.assert_allclose(terms.loss, np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(terms.margin, 0.0)


def test_hand_worked_pair():
    # margin = 0.5 * ((-1 - -2) - (-4 - -2)) = 1.5; loss = log(1 + e^-1.5)
    terms = dpo_loss(pair([-1.0], [-4.0]), pair([-2.0], [-2.0]), beta=0.5)
    np.testing.assert_allclose(terms.margin, 1.5, rtol=1e-6)
    np.testing.assert_allclose(terms.loss, np.log1p(np.exp(-1.5)), rtol=1e-6)


def test_no_gradient_reaches_the_reference():
    def total(reference):
        return dpo_loss(pair([-1.0], [-2.0]), reference, beta=0.1).loss.sum()

    grads = jax.grad(total)(pair([-1.5], [-1.5]))
    np.testing.assert_array_equal(grads.chosen, 0.0)
    np.testing.assert_array_equal(grads.rejected, 0.0)


def test_gradient_matches_equation_in_section_4():
    # d loss / d log pi(chosen) = -beta * sigmoid(-margin)
    def total(chosen):
        return dpo_loss(
            PairLogps(chosen, ZERO), PairLogps(ZERO, ZERO), beta=0.3
        ).loss.sum()

    for value in (-4.0, 0.0, 4.0):
        expected = -0.3 * jax.nn.sigmoid(-0.3 * value)
        np.testing.assert_allclose(
            jax.grad(total)(jnp.array([value]))[0], expected, rtol=1e-5
        )


@pytest.mark.parametrize("margin", [-1e4, 1e4])
def test_finite_at_extreme_margins(margin):
    terms = dpo_loss(
        pair([margin], [0.0]), pair([0.0], [0.0]), beta=1.0, label_smoothing=0.1
    )
    assert np.isfinite(terms.loss).all()


def test_swapping_the_pair_swaps_the_smoothed_terms():
    a, b = pair([-1.0], [-4.0]), pair([-2.0], [-2.0])
    flipped = lambda p: PairLogps(p.rejected, p.chosen)  # noqa: E731
    left = dpo_loss(a, b, beta=0.5, label_smoothing=0.2).loss
    right = dpo_loss(flipped(a), flipped(b), beta=0.5, label_smoothing=0.8).loss
    np.testing.assert_allclose(left, right, rtol=1e-6)


@pytest.mark.parametrize(("beta", "loss"), [(0.05, 0.65635014), (0.1, 0.62095705)])
def test_agrees_with_the_code_of_the_paper(beta, loss):
    terms = dpo_loss(pair([-10.0], [-12.0]), pair([-11.0], [-11.5]), beta=beta)
    np.testing.assert_allclose(terms.loss, [loss], rtol=1e-6)
    # rewards are beta * 1 and beta * -0.5
    np.testing.assert_allclose(terms.chosen_reward, [beta], rtol=1e-6)
    np.testing.assert_allclose(terms.rejected_reward, [-beta / 2], rtol=1e-6)


TORCHTUNE = (  # D = [0, 10, 20]
    pair([-0.5, -10.0, -1.0], [-0.1, -30.0, -21.0]),
    pair([-0.5, -10.1, -0.1], [-0.1, -20.1, -0.1]),
)


@pytest.mark.parametrize(
    ("label_smoothing", "loss", "gradient"),
    [
        (0.0, 0.3777789597, [0.01666667, 0.00896471, 0.00397343]),
        (0.1, 0.4777789597, [0.01333333, 0.00563138, 0.00064010]),
    ],
)
def test_agrees_with_trl_and_torchtune(label_smoothing, loss, gradient):
    policy, reference = TORCHTUNE

    def mean_loss(policy):
        terms = dpo_loss(policy, reference, beta=0.1, label_smoothing=label_smoothing)
        return terms.loss.mean()

    value, grads = jax.value_and_grad(mean_loss)(policy)
    np.testing.assert_allclose(value, loss, rtol=1e-6)
    np.testing.assert_allclose(grads.chosen, -np.array(gradient), atol=1e-7)
    np.testing.assert_allclose(grads.rejected, gradient, atol=1e-7)


def test_rewards_are_those_that_trl_logs():
    terms = dpo_loss(*TORCHTUNE, beta=0.1)
    found = [
        terms.chosen_reward.mean(),
        terms.rejected_reward.mean(),
        terms.margin.mean(),
        (terms.margin > 1e-6).mean(),  # the first pair's is a tie, but for rounding
        TORCHTUNE[0].chosen.mean(),
        TORCHTUNE[0].rejected.mean(),
    ]
    expected = [-0.02666667, -1.02666667, 1.0, 2 / 3, -3.83333333, -17.03333333]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
