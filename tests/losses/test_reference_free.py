"""Tests of `rlaif_jax.losses.reference_free`; recorded values are arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.losses import PairLengths, orpo_loss, reference_free_loss, simpo_loss

ONES = PairLengths(jnp.array([1]), jnp.array([1]))


def odds_term(policy, *, lengths):
    """Twice the penalty, less once: what is left of ORPO without its NLL."""
    more = orpo_loss(policy, lengths=lengths, odds_weight=2.0)
    less = orpo_loss(policy, lengths=lengths, odds_weight=1.0)
    return more._replace(loss=more.loss - less.loss)


def test_recorded_values(recorded):
    by_token = {"lengths": recorded.lengths}
    found = [
        recorded.mean(reference_free_loss, beta=0.1)[0],
        recorded.mean(simpo_loss, beta=2.0, gamma=1.0, **by_token)[0],
        recorded.mean(simpo_loss, beta=10.0, gamma=3.0, **by_token)[0],
        recorded.mean(odds_term, **by_token)[0],
    ]
    expected = [0.3224010631, 0.5152900619, 1.5036825816, 0.4414232374]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_agrees_with_the_code_of_the_paper(double, pair):
    terms = reference_free_loss(pair(-10.0, -12.0), beta=0.05)
    assert float(terms.loss[0]) == pytest.approx(0.64439666, rel=1e-8)


def test_hand_worked_simpo(double, pair):
    # 2 * (-3 / 3) - 2 * (-8 / 4) = 2 nats, of which 1.5 were wanted
    lengths = PairLengths(jnp.array([3]), jnp.array([4]))
    terms = simpo_loss(pair(-3.0, -8.0), lengths=lengths, beta=2.0, gamma=1.5)
    np.testing.assert_allclose(terms.loss, np.log1p(np.exp(-0.5)), rtol=1e-12)
    np.testing.assert_allclose(terms.margin, 2.0)


def test_hand_worked_orpo(double, pair):
    # p = 3/4 and 1/2: odds are 3 and 1, and sigmoid(log 3) = 3/4
    policy = pair(2 * np.log(0.75), 4 * np.log(0.5))
    lengths = PairLengths(jnp.array([2]), jnp.array([4]))
    terms = orpo_loss(policy, lengths=lengths, odds_weight=0.5)
    np.testing.assert_allclose(terms.loss, -1.5 * np.log(0.75), rtol=1e-12)
    np.testing.assert_allclose(terms.chosen_reward, np.log(3.0), rtol=1e-12)
    np.testing.assert_allclose(terms.rejected_reward, 0.0, atol=1e-12)


def test_the_gradient_of_the_odds_ratio_is_that_of_the_article(double, pair):
    # d/dlogp log odds = 1 / (1 - p); d/dz -log sigmoid(z) = -sigmoid(-z)
    logps = pair(np.log(0.7), np.log(0.2))
    grads = jax.grad(lambda p: odds_term(p, lengths=ONES).loss.sum())(logps)
    outer = 1 / (1 + (0.7 / 0.3) / (0.2 / 0.8))
    np.testing.assert_allclose(grads.chosen, [-outer / 0.3], rtol=1e-10)
    np.testing.assert_allclose(grads.rejected, [outer / 0.8], rtol=1e-10)


@pytest.mark.parametrize("chosen", [0.0, -1e-9, -1e-7, 1e-7, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e-9, -1e-7, 1e-7, -1e4])
def test_orpo_stays_finite_where_a_completion_is_certain(pair, chosen, rejected):
    def total(policy):
        return orpo_loss(policy, lengths=ONES, odds_weight=0.1).loss.sum()

    value, grads = jax.value_and_grad(total)(pair(chosen, rejected))
    assert np.isfinite(value)
    assert np.isfinite(np.stack(grads)).all()
    assert grads.chosen[0] <= 0 <= grads.rejected[0]
