"""Tests of `rlaif_jax.losses.pairs`."""

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.losses import PairLengths, PairLogps, implicit_rewards, per_token
from rlaif_jax.losses.pairs import terms


def test_rewards_are_beta_times_log_ratios(pair):
    # 0.5 * (-1 - -2) and 0.5 * (-4 - -2)
    rewards = implicit_rewards(pair(-1.0, -4.0), pair(-2.0, -2.0), beta=0.5)
    np.testing.assert_allclose(rewards.chosen, [0.5])
    np.testing.assert_allclose(rewards.rejected, [-1.0])


def test_means_divide_by_the_side_s_own_length():
    lengths = PairLengths(jnp.array([2, 0]), jnp.array([5, 1]))
    logps = PairLogps(jnp.array([-3.0, 0.0]), jnp.array([-3.0, -3.0]))
    mean = per_token(logps, lengths)
    np.testing.assert_allclose(mean.chosen, [-1.5, 0.0])  # nothing stays nothing
    np.testing.assert_allclose(mean.rejected, [-0.6, -3.0])


def test_no_gradient_flows_through_what_is_told_of_rewards(pair):
    def told(logps):
        told = terms(logps.chosen, logps)
        return (told.chosen_reward + told.rejected_reward + told.margin).sum()

    grads = jax.grad(told)(pair(-1.0, -2.0))
    np.testing.assert_array_equal(np.stack(grads), 0.0)
