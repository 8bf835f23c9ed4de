"""Tests of `rlaif_jax.losses.logps`."""

import jax
import jax.numpy as jnp
import numpy as np

from rlaif_jax.losses.logps import sequence_logps, token_logps


def test_uniform_logits_score_every_token_alike():
    logits = jnp.zeros((2, 3, 8))
    targets = jnp.array([[0, 1, 2], [3, 4, 5]])
    np.testing.assert_allclose(token_logps(logits, targets), -np.log(8.0), rtol=1e-6)


def test_matches_log_softmax():
    logits = jax.random.normal(jax.random.key(0), (2, 5, 7))
    targets = jax.random.randint(jax.random.key(1), (2, 5), 0, 7)
    dense = np.take_along_axis(
        np.asarray(jax.nn.log_softmax(logits)), np.asarray(targets)[..., None], axis=-1
    )[..., 0]
    np.testing.assert_allclose(token_logps(logits, targets), dense, rtol=1e-5)


def test_masked_tokens_do_not_count_even_when_infinite():
    logits = jnp.zeros((1, 3, 4)).at[0, 0, 0].set(-jnp.inf)
    targets = jnp.array([[0, 1, 2]])
    mask = jnp.array([[False, True, True]])
    np.testing.assert_allclose(
        sequence_logps(logits, targets, mask), -2 * np.log(4.0), rtol=1e-6
    )


def test_bfloat16_logits_are_summed_in_float32():
    logits = jnp.zeros((1, 4096, 4), jnp.bfloat16)
    targets = jnp.zeros((1, 4096), jnp.int32)
    mask = jnp.ones((1, 4096), bool)
    result = sequence_logps(logits, targets, mask)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, -4096 * np.log(4.0), rtol=1e-5)


def test_targets_outside_the_mask_change_nothing():
    logits = jax.random.normal(jax.random.key(0), (1, 4, 5))
    mask = jnp.array([[False, True, True, False]])
    one = sequence_logps(logits, jnp.array([[0, 1, 2, 0]]), mask)
    other = sequence_logps(logits, jnp.array([[4, 1, 2, 3]]), mask)
    np.testing.assert_array_equal(one, other)
