"""Tests of `rlaif_jax.sampling.decode`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models import forward, init_params, preset
from rlaif_jax.sampling.decode import PromptBatch, Stopping, decode, row_keys
from rlaif_jax.sampling.select import Selection

CONFIG = preset("llama-tiny").replace(vocab_size=24)
WINDOWED = CONFIG.replace(sliding_window=3)
PROMPTS = ([5, 6, 7, 8, 9], [10], [11, 12, 13])
NO_END = 999


@pytest.fixture(scope="module")
def params():
    return init_params(CONFIG, jax.random.key(0))


def batch_of(prompts, *, width=8, names=None):
    token_ids = np.zeros((len(prompts), width), np.int32)
    for row, prompt in enumerate(prompts):
        token_ids[row, : len(prompt)] = prompt
    return PromptBatch(
        token_ids=jnp.array(token_ids),
        lengths=jnp.array([len(prompt) for prompt in prompts], jnp.int32),
        row_hashes=jnp.array(names or range(len(prompts)), jnp.uint32),
        sample_indices=jnp.zeros(len(prompts), jnp.int32),
    )


def run(params, batch, *, config=CONFIG, end=NO_END, room=6, seed=0, **selection):
    compiled = jax.jit(
        partial(
            decode,
            config,
            selection=Selection(**selection),
            stopping=Stopping(end_ids=(end,), max_new_tokens=room),
        )
    )
    return compiled(params, batch, jnp.int32(seed))


def slow_greedy(config, params, prompt, room):
    """The most likely continuation by a full forward of every prefix."""
    tokens = list(prompt)
    for _ in range(room):
        padded = jnp.array([tokens + [0] * (16 - len(tokens))])
        tokens.append(int(forward(config, params, padded)[0, len(tokens) - 1].argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("config", [CONFIG, WINDOWED])
def test_greedy_decoding_equals_repeated_full_forwards(params, config):
    decoded = run(params, batch_of(PROMPTS), config=config, temperature=0.0)

    expected = [slow_greedy(config, params, prompt, 6) for prompt in PROMPTS]
    assert decoded.token_ids.tolist() == expected
    assert decoded.num_tokens.tolist() == [6, 6, 6]
    assert not decoded.is_stopped.any()


def test_an_end_token_stops_its_row_and_is_not_counted(params):
    free = slow_greedy(CONFIG, params, PROMPTS[0], 6)
    end = free[2]

    decoded = run(params, batch_of(PROMPTS[:1]), end=end, temperature=0.0)

    assert decoded.is_stopped.tolist() == [True]
    num_tokens = int(decoded.num_tokens[0])
    assert num_tokens == free.index(end)
    assert decoded.token_ids[0, :num_tokens].tolist() == free[:num_tokens]


def test_a_row_that_runs_on_is_not_changed_by_one_that_stopped(params):
    alone = [slow_greedy(CONFIG, params, prompt, 6) for prompt in PROMPTS]
    end = next(token for token in alone[0] if token not in alone[1])

    decoded = run(params, batch_of(PROMPTS), end=end, temperature=0.0)

    assert bool(decoded.is_stopped[0])
    assert not bool(decoded.is_stopped[1])
    assert decoded.token_ids[1].tolist() == alone[1]


def test_one_new_token_needs_no_loop(params):
    decoded = run(params, batch_of(PROMPTS), room=1, temperature=0.0)

    expected = [slow_greedy(CONFIG, params, prompt, 1) for prompt in PROMPTS]
    assert decoded.token_ids.tolist() == expected


def test_a_row_samples_the_same_in_any_batch_and_width(params):
    together = run(params, batch_of(PROMPTS, names=[7, 8, 9]))

    elsewhere = batch_of((PROMPTS[2], [], PROMPTS[0]), width=16, names=[9, 1, 7])
    apart = run(params, elsewhere)

    assert apart.token_ids[2].tolist() == together.token_ids[0].tolist()
    assert apart.token_ids[0].tolist() == together.token_ids[2].tolist()


def test_dummy_rows_are_stopped_and_empty(params):
    decoded = run(params, batch_of(([], PROMPTS[0])))

    assert decoded.is_stopped.tolist() == [True, False]


def test_seed_name_and_sample_index_each_change_the_draws(params):
    batch = batch_of((PROMPTS[0], PROMPTS[0]), names=[1, 2])
    second_sample = batch._replace(sample_indices=jnp.array([1, 1], jnp.int32))

    first, other_name = run(params, batch).token_ids.tolist()

    assert other_name != first
    assert run(params, batch, seed=1).token_ids[0].tolist() != first
    assert run(params, second_sample).token_ids[0].tolist() != first
    assert run(params, batch).token_ids[0].tolist() == first


def test_a_row_key_is_folded_from_seed_name_and_sample():
    keys = row_keys(jnp.int32(3), jnp.array([5], jnp.uint32), jnp.array([2], jnp.int32))

    expected = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 5), 2)
    assert keys[0] == expected


def test_no_room_is_refused():
    with pytest.raises(ValueError, match="max_new_tokens 0"):
        Stopping(end_ids=(1,), max_new_tokens=0)
