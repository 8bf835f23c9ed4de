"""Tests of `rlaif_jax.losses.reward`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.losses import bradley_terry_loss


def test_hand_worked_and_equal_rewards():
    # sigmoid(log 3) = 3/4
    chosen, rejected = jnp.array([2.0 + np.log(3.0), 5.0]), jnp.array([2.0, 5.0])
    expected = [-np.log(0.75), np.log(2.0)]
    found = bradley_terry_loss(chosen, rejected)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_shift_of_both_rewards_costs_nothing():
    chosen, rejected = jnp.array([1.0]), jnp.array([-0.5])
    here = bradley_terry_loss(chosen, rejected)
    np.testing.assert_allclose(bradley_terry_loss(chosen + 8, rejected + 8), here)


def test_gradient_is_what_the_model_gets_wrong():
    # d loss / d r(chosen) = -sigmoid(-margin)
    def total(chosen):
        return bradley_terry_loss(chosen, jnp.zeros(3)).sum()

    margins = jnp.array([-4.0, 0.0, 4.0])
    np.testing.assert_allclose(
        jax.grad(total)(margins), -jax.nn.sigmoid(-margins), rtol=1e-6
    )


@pytest.mark.parametrize("margin", [-1e4, 1e4])
def test_finite_at_extreme_margins(margin):
    value, grad = jax.value_and_grad(
        lambda x: bradley_terry_loss(x, jnp.zeros(1)).sum()
    )(jnp.array([margin]))
    np.testing.assert_allclose(value, max(0.0, -margin))
    assert np.isfinite(grad).all()
