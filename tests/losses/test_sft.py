"""Tests of `rlaif_jax.losses.sft`."""

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.losses import mean_token_nll, sequence_nll, sft_loss

LOGPS, LENGTHS = jnp.array([-6.0, -32.0]), jnp.array([2, 1])
MASK = jnp.array([[False, True, True], [False, False, True]])


def test_sequence_nll_is_the_sum_over_the_completion():
    np.testing.assert_allclose(sequence_nll(LOGPS, LENGTHS), [6.0, 32.0])


def test_mean_token_nll_weighs_every_completion_alike():
    np.testing.assert_allclose(mean_token_nll(LOGPS, LENGTHS), [3.0, 32.0])


def test_sft_loss_of_uniform_logits_is_length_times_log_vocabulary():
    logits = jnp.zeros((2, 3, 5))
    targets = jnp.zeros((2, 3), jnp.int32)
    expected = np.array([2, 1]) * np.log(5.0)
    np.testing.assert_allclose(sft_loss(logits, targets, MASK), expected, rtol=1e-6)


def test_gradient_is_softmax_minus_one_hot_where_the_mask_counts():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 5))
    targets = jnp.array([[0, 1, 2], [3, 4, 0]])
    grads = jax.grad(lambda x: sft_loss(x, targets, MASK).sum())(logits)
    expected = (jax.nn.softmax(logits) - jax.nn.one_hot(targets, 5)) * MASK[..., None]
    np.testing.assert_allclose(grads, expected, atol=1e-6)


def test_a_completion_without_tokens_costs_nothing():
    empty = jnp.zeros(2), jnp.zeros(2, jnp.int32)
    value, grads = jax.value_and_grad(lambda x: mean_token_nll(x, empty[1]).sum())(
        empty[0]
    )
    assert value == 0.0
    assert np.isfinite(grads).all()


def test_finite_at_extreme_logits():
    logits = jnp.array([[[1e4, -1e4], [-1e4, 1e4]]])
    loss = sft_loss(logits, jnp.zeros((1, 2), jnp.int32), jnp.ones((1, 2), bool))
    np.testing.assert_allclose(loss, [2e4])


def test_trl_divides_by_the_tokens_of_a_batch_and_we_by_each_example_s():
    logps, lengths = jnp.array([-0.5, -10.0, -1.0]), jnp.array([2, 5, 3])
    trl = sequence_nll(logps, lengths).sum() / lengths.sum()
    np.testing.assert_allclose(trl, 1.15, rtol=1e-6)
    expected = [0.25, 2.0, 1 / 3]
    np.testing.assert_allclose(mean_token_nll(logps, lengths), expected, rtol=1e-6)
