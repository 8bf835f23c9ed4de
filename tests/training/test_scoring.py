"""Tests of `rlaif_jax.training.scoring`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.data.rows import Example, Pair, pair_rows, sft_rows
from rlaif_jax.models import (
    TransformerConfig,
    forward,
    hidden_states,
    init_params,
    reward_model,
)
from rlaif_jax.training import scoring

CONFIG = TransformerConfig(
    family="llama",
    vocab_size=32,
    embed=16,
    num_layers=2,
    kv_heads=1,
    q_groups=2,
    head_dim=8,
    ffw=16,
    max_positions=32,
    rope_theta=10000.0,
    norm_eps=1e-5,
    eos_token_id=1,
)
completion_logps = jax.jit(scoring.completion_logps, static_argnums=0)
completion_token_logps = jax.jit(scoring.completion_token_logps, static_argnums=0)
completion_rewards = jax.jit(scoring.completion_rewards, static_argnums=0)
EXAMPLES = [Example([5, 6, 7], [8, 9, 1]), Example([4], [3, 3, 3, 3, 1])]


@pytest.fixture(scope="module")
def params():
    return init_params(CONFIG, jax.random.key(0))


def slow_logps(params, example):
    """Each completion token's log-probability, without padding or shifting arrays."""
    ids = [*example.prompt, *example.completion]
    logits = forward(CONFIG, params, jnp.array([ids]))[0]
    logps = np.asarray(jax.nn.log_softmax(logits))
    return [logps[t - 1, ids[t]] for t in range(len(example.prompt), len(ids))]


def test_tokens_are_scored_from_the_position_before(params):
    rows = sft_rows(EXAMPLES, 8)
    logps = np.asarray(completion_token_logps(CONFIG, params, rows))
    for row, example in zip(logps, EXAMPLES, strict=True):
        start = len(example.prompt)
        stop = start + len(example.completion)
        np.testing.assert_allclose(
            row[start:stop], slow_logps(params, example), rtol=1e-5
        )
        assert not row[:start].any()
        assert not row[stop:].any()


def test_a_completion_scores_the_sum_of_its_tokens(params):
    logps = completion_logps(CONFIG, params, sft_rows(EXAMPLES, 8))
    expected = [sum(slow_logps(params, example)) for example in EXAMPLES]
    np.testing.assert_allclose(logps, expected, rtol=1e-5)


def test_pairs_are_scored_as_their_two_rows(params):
    pair = Pair([5, 6], [7, 1], [9, 9, 1])
    logps = completion_logps(CONFIG, params, pair_rows([pair], 8))
    sides = [Example(pair.prompt, pair.chosen), Example(pair.prompt, pair.rejected)]
    assert logps.shape == (1, 2)
    np.testing.assert_allclose(
        logps[0], completion_logps(CONFIG, params, sft_rows(sides, 8)), rtol=1e-6
    )


def test_more_padding_changes_nothing(params):
    short = completion_logps(CONFIG, params, sft_rows(EXAMPLES, 8))
    long = completion_logps(CONFIG, params, sft_rows(EXAMPLES, 16))
    np.testing.assert_allclose(short, long, rtol=1e-5)


def test_ids_on_padding_and_prompt_targets_do_not_matter(params):
    rows = sft_rows(EXAMPLES, 8)
    noisy = rows._replace(
        token_ids=np.where(rows.segment_ids == 0, 30, rows.token_ids).astype(np.int32)
    )
    np.testing.assert_array_equal(
        completion_logps(CONFIG, params, rows), completion_logps(CONFIG, params, noisy)
    )


def with_reward_head(params):
    config, params = reward_model(CONFIG, params)
    return config, params | {"reward_head": jnp.linspace(-1.0, 1.0, CONFIG.embed)}


def test_a_reward_is_read_at_the_last_token_of_the_completion(params):
    config, params = with_reward_head(params)
    found = completion_rewards(config, params, sft_rows(EXAMPLES, 8))
    for reward, example in zip(found, EXAMPLES, strict=True):
        ids = jnp.array([[*example.prompt, *example.completion]])
        places, segments = jnp.arange(ids.shape[1])[None], jnp.ones_like(ids)
        hidden = hidden_states(config, params, ids, places, segments).hidden[0, -1]
        expected = np.dot(np.asarray(hidden), np.linspace(-1.0, 1.0, CONFIG.embed))
        np.testing.assert_allclose(reward, expected, rtol=1e-5)


def test_padding_with_the_end_token_does_not_move_where_a_reward_is_read(params):
    config, params = with_reward_head(params)
    rows = sft_rows(EXAMPLES, 16)
    padded = np.where(rows.segment_ids == 0, CONFIG.eos_token_id, rows.token_ids)
    np.testing.assert_allclose(
        completion_rewards(config, params, rows._replace(token_ids=padded)),
        completion_rewards(config, params, sft_rows(EXAMPLES, 8)),
        rtol=1e-5,
    )


def test_sides_of_a_pair_are_rewarded_like_their_rows(params):
    config, params = with_reward_head(params)
    pair = Pair([5, 6], [7, 1], [9, 9, 1])
    sides = [Example(pair.prompt, pair.chosen), Example(pair.prompt, pair.rejected)]
    together = completion_rewards(config, params, pair_rows([pair], 8))
    assert together.shape == (1, 2)
    apart = completion_rewards(config, params, sft_rows(sides, 8))
    np.testing.assert_allclose(together[0], apart, rtol=1e-6)
