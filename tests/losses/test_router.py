"""Tests of `rlaif_jax.losses.router`."""

import jax.numpy as jnp
import numpy as np
import torch
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from rlaif_jax.losses import load_balancing_loss


def test_even_and_uneven_loads_by_hand():
    even = jnp.full((3, 4), 5.0)  # 3 layers, 10 tokens, 2 choices each
    tokens = jnp.full(3, 10.0)
    np.testing.assert_allclose(load_balancing_loss(even, even / 2, tokens), 2.0)
    load = jnp.array([10.0, 10.0, 0.0, 0.0])
    sure = jnp.array([10.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(load_balancing_loss(load, sure, jnp.asarray(10.0)), 4.0)


def test_nothing_to_count_is_no_loss():
    zeros = jnp.zeros((2, 4))
    assert load_balancing_loss(zeros, zeros, jnp.zeros(2)) == 0.0


def test_the_same_as_transformers():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 6, 4)).astype(np.float32)  # layers, tokens, experts
    real = np.array([1, 1, 1, 1, 0, 0])
    odds = np.exp(logits)
    probabilities = odds / odds.sum(-1, keepdims=True) * real[:, None]
    chosen = (np.argsort(np.argsort(-logits, -1), -1) < 2) * real[:, None]
    actual = load_balancing_loss(
        jnp.asarray(chosen.sum(1), jnp.float32),
        jnp.asarray(probabilities.sum(1), jnp.float32),
        jnp.full(2, 4.0),
    )
    expected = load_balancing_loss_func(
        tuple(torch.tensor(layer) for layer in logits),
        num_experts=4,
        top_k=2,
        attention_mask=torch.tensor(real)[None],
    )
    np.testing.assert_allclose(actual, float(expected), rtol=1e-5)
