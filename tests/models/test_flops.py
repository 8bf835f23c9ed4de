"""Tests of `rlaif_jax.models.flops`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models import TransformerConfig, head_kernel, hidden_states, init_params
from rlaif_jax.models.attending.places import Places, attention_mask
from rlaif_jax.models.config import Lora
from rlaif_jax.models.flops import (
    TokenCounts,
    forward_flops,
    recomputed_flops,
    training_flops,
    weights,
)
from rlaif_jax.models.registry import preset

CONFIG = TransformerConfig(
    family="llama",
    vocab_size=512,
    embed=128,
    num_layers=3,
    kv_heads=2,
    q_groups=2,
    head_dim=32,
    ffw=256,
    max_positions=64,
    norm_eps=1e-5,
    eos_token_id=1,
)


def test_a_pair_of_mistral_7b_takes_33_tflop():
    config = preset("mistral-7b-v0.1")
    counts = TokenCounts.of(256, (256, 256), window=config.sliding_window)
    assert weights(config).layers == 32 * (2 * 4096**2 + 2 * 4096 * 1024) + (
        32 * 3 * 4096 * 14336
    )
    # 6 x 6.979e9 x 768 + 6 x 1.311e8 x 512 + 12 x 4096 x 32 x 229,760
    assert training_flops(config, counts) == pytest.approx(32.93e12, rel=1e-3)


@pytest.mark.parametrize("window", [None, 1, 3, 5, 100])
def test_the_allowed_pairs_are_those_of_the_mask(window):
    prompt, chosen, rejected = 4, 5, 2
    positions = [*range(4), *range(4, 9), *range(4, 6)]
    branches = [0] * prompt + [1] * chosen + [2] * rejected
    places = Places(
        jnp.array([positions]), jnp.ones((1, 11), jnp.int32), jnp.array([branches])
    )
    counts = TokenCounts.of(prompt, (chosen, rejected), window=window)
    allowed = attention_mask(places, places, window=window)
    assert counts.attended_in_window == int(allowed.sum())
    assert counts.attended == int(attention_mask(places, places, window=None).sum())
    assert counts.tokens == 11
    assert counts.predicted == 7


def compiled_flops(config, num_tokens):
    """What XLA counts of a forward and backward pass with every layer unrolled."""

    def loss(params, ids):
        positions = jnp.broadcast_to(jnp.arange(num_tokens), ids.shape)
        states = hidden_states(config, params, ids, positions, jnp.ones_like(ids))
        return (states.hidden @ head_kernel(config, params)).sum()

    params = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    ids = jax.ShapeDtypeStruct((1, num_tokens), jnp.int32)

    def counted(function):
        return jax.jit(function).lower(params, ids).compile().cost_analysis()["flops"]

    return counted(loss), counted(jax.grad(loss))


def test_the_compiler_counts_what_the_formula_says():
    num_tokens = 32
    # XLA's dense attention computes every pair, the forbidden ones too
    counts = TokenCounts(num_tokens, num_tokens, num_tokens**2, num_tokens**2)
    forward, both = compiled_flops(CONFIG, num_tokens)
    assert forward == pytest.approx(forward_flops(CONFIG, counts), rel=0.04)
    assert both == pytest.approx(training_flops(CONFIG, counts), rel=0.04)


def test_frozen_weights_need_no_gradient_of_their_own():
    counts = TokenCounts.of(10, (5,), window=None)
    lora = CONFIG.replace(lora=Lora(rank=4, alpha=8.0, targets=("q", "down")))
    per_layer = 4 * (128 + 128) + 4 * (256 + 128)
    assert weights(lora).adapters == 3 * per_layer
    full = weights(CONFIG)
    attention = 3 * 4 * 128 * 3 * (15 * 16 // 2)
    assert training_flops(CONFIG, counts) == (
        6 * full.layers * 15 + 6 * full.head * 5 + attention
    )
    assert training_flops(lora, counts) == (
        4 * full.layers * 15 + 4 * full.head * 5 + 6 * 3 * per_layer * 15 + attention
    )


def test_layers_are_computed_again_as_remat_says():
    counts = TokenCounts.of(10, (5,), window=None)
    found = {
        name: recomputed_flops(CONFIG.replace(remat=name), counts)
        for name in ("none", "dots", "attention", "full", "offload")
    }
    layers = forward_flops(CONFIG, counts) - 2 * weights(CONFIG).head * 5
    assert found["none"] == found["dots"] == 0
    assert found["full"] == found["offload"] == layers
    assert layers - found["attention"] == 4 * 128 * 3 * (15 * 16 // 2)


def test_a_token_passes_through_few_experts():
    mixture = CONFIG.replace(num_experts=8, experts_per_token=2)
    more = weights(mixture).layers - weights(CONFIG).layers
    assert more == 3 * (3 * 128 * 256 + 8 * 128)


def test_some_layers_ignore_the_window():
    counts = TokenCounts.of(20, (20,), window=5)
    every = CONFIG.replace(sliding_window=5)
    third = every.replace(global_every=3)
    by_layer = 4 * 128 * np.array([counts.attended_in_window, counts.attended])
    more = forward_flops(third, counts) - forward_flops(every, counts)
    assert more == by_layer[1] - by_layer[0]
