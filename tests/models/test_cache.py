"""Tests of `rlaif_jax.models.cache`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models import (
    forward,
    hidden_states,
    init_cache,
    init_params,
    preset,
    unembed,
)

LLAMA = preset("llama-tiny")
WINDOWED = LLAMA.replace(sliding_window=3)


@pytest.fixture(scope="module")
def params():
    return init_params(LLAMA, jax.random.key(0))


@pytest.mark.parametrize("config", [LLAMA, WINDOWED], ids=["full", "window"])
def test_prefill_and_decoding_give_the_logits_of_one_forward(config, params):
    lengths = np.array([4, 2, 3])  # prompts, padded on the right to 4
    prompts = jax.random.randint(jax.random.key(1), (3, 4), 0, 512)
    new = jax.random.randint(jax.random.key(2), (3, 5), 0, 512)
    real = (np.arange(4) < lengths[:, None]).astype(np.int32)
    positions = np.broadcast_to(np.arange(4, dtype=np.int32), (3, 4)) * real

    @jax.jit
    def run(ids, positions, segments, cache):
        states = hidden_states(config, params, ids, positions, segments, cache)
        return unembed(config, params, states.hidden), states.cache

    cache = init_cache(config, 3, 12, "float32")
    logits, cache = run(prompts, positions, real, cache)
    steps = [logits[np.arange(3), lengths - 1]]
    for t in range(5):
        at = (lengths + t)[:, None].astype(np.int32)
        logits, cache = run(new[:, t : t + 1], at, np.ones_like(at), cache)
        steps.append(logits[:, 0])
    assert cache.length == 9
    for row, length in enumerate(lengths):
        whole = np.concatenate([prompts[row, :length], new[row]])[None]
        expected = forward(config, params, jnp.asarray(whole))[0, length - 1 :]
        actual = np.stack([step[row] for step in steps])
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_decoding_runs_inside_a_while_loop(params):
    def greedy(prompt, new_tokens):
        cache = init_cache(LLAMA, prompt.shape[0], 8, "float32")
        positions = jnp.broadcast_to(jnp.arange(prompt.shape[1]), prompt.shape)
        ids, written = prompt, jnp.zeros((prompt.shape[0], new_tokens), jnp.int32)
        states = hidden_states(LLAMA, params, ids, positions, jnp.ones_like(ids), cache)

        def body(carry):
            t, hidden, cache, written = carry
            token = jnp.argmax(unembed(LLAMA, params, hidden), axis=-1)
            written = written.at[:, t].set(token)
            at = jnp.full_like(token, prompt.shape[1] + t)[:, None]
            ids = token[:, None]
            step = hidden_states(LLAMA, params, ids, at, jnp.ones_like(at), cache)
            return t + 1, step.hidden[:, -1], step.cache, written

        carry = (0, states.hidden[:, -1], states.cache, written)
        return jax.lax.while_loop(lambda c: c[0] < new_tokens, body, carry)[3]

    prompt = jax.random.randint(jax.random.key(3), (2, 3), 0, 512)
    actual = jax.jit(greedy, static_argnums=1)(prompt, 4)
    ids = prompt
    for _ in range(4):
        token = jnp.argmax(forward(LLAMA, params, ids)[:, -1], axis=-1)
        ids = jnp.concatenate([ids, token[:, None]], axis=1)
    np.testing.assert_array_equal(actual, ids[:, 3:])


def test_more_tokens_than_slots_are_refused():
    cache = init_cache(LLAMA, 1, 2, "float32")
    with pytest.raises(ValueError, match="3 tokens in 2 cache slots"):
        cache.register(jnp.zeros((1, 3), int), jnp.ones((1, 3), int))


def test_a_write_changes_only_its_layer_and_slots():
    cache = init_cache(LLAMA, 1, 4, "bfloat16")._replace(length=jnp.array(1))
    ones = jnp.ones((1, 2, 2, 8))
    cache = cache.write(jnp.array(1), ones, 2 * ones)
    assert cache.k.dtype == jnp.bfloat16
    np.testing.assert_array_equal(cache.k[1, 0, :, 0, 0], [0, 1, 1, 0])
    np.testing.assert_array_equal(cache.v[1, 0, :, 0, 0], [0, 2, 2, 0])
    assert not cache.k[0].any()
