"""Tests of `rlaif_jax.training.scoring`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.data.packing import Example, Pair, pack, pad
from rlaif_jax.models import (
    TransformerConfig,
    forward,
    hidden_states,
    init_params,
    logical_axes,
    reward_model,
)
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import place_batch, place_params
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
PAIRS = [Pair([5, 6], [7, 1], [9, 9, 1]), Pair([4], [8], [3, 3, 3, 1])]
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


def test_every_slot_has_its_token_s_log_probability(params):
    rows = pad(EXAMPLES, length=8)
    logps = np.asarray(completion_token_logps(CONFIG, params, rows))
    for row, example in zip(logps, EXAMPLES, strict=True):
        expected = slow_logps(params, example)
        np.testing.assert_allclose(row[: len(expected)], expected, rtol=1e-5)
        assert not row[len(expected) :].any()


def test_a_completion_scores_the_sum_of_its_tokens(params):
    expected = [[sum(slow_logps(params, example))] for example in EXAMPLES]
    for rows in (pad(EXAMPLES, length=8), pack(EXAMPLES, length=16)):
        logps = completion_logps(CONFIG, params, rows)
        np.testing.assert_allclose(logps, expected, rtol=1e-5)


def test_more_padding_changes_nothing(params):
    short = completion_logps(CONFIG, params, pack(EXAMPLES, length=16))
    long = completion_logps(CONFIG, params, pack(EXAMPLES, length=32, multiple=3))
    np.testing.assert_allclose(short, long, rtol=1e-5)


def test_ids_on_padding_do_not_matter(params):
    rows = pack(PAIRS, length=24)
    noisy = rows._replace(
        token_ids=np.where(rows.segment_ids == 0, 30, rows.token_ids).astype(np.int32)
    )
    np.testing.assert_array_equal(
        completion_logps(CONFIG, params, rows), completion_logps(CONFIG, params, noisy)
    )


def random_pairs(seed, count=7):
    """Prompts and completions of hostile lengths: 1, the whole row, equal, one long."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 14, (count, 3)).tolist()
    lengths += [[1, 1, 1], [1, 1, 18], [16, 16, 16], [6, 9, 9]]
    drawn = [[rng.integers(3, 32, n).tolist() for n in sizes] for sizes in lengths]
    pairs = [Pair(*parts) for parts in drawn]
    return [*pairs, pairs[-1]._replace(rejected=pairs[-1].chosen)]


VARIANTS = {
    "plain": CONFIG,
    "window": CONFIG.replace(sliding_window=5),
    "capped": CONFIG.replace(logit_softcap=2.0, attention_softcap=3.0),
    "tied": CONFIG.replace(tie_embeddings=True),
    "learned": CONFIG.replace(positions="learned", max_positions=64),
    "remat": CONFIG.replace(remat="full"),
    "scanned": CONFIG.replace(num_layers=5),
}


def one_by_one(config, params, pairs):
    """Weighted log-probability of each completion alone in a row, and the gradient.

    From all logits, densely: none of what the fast path does.
    """

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def score(params, ids, start, stop, weight):
        logps = jax.nn.log_softmax(forward(config, params, ids[None])[0, :-1])
        at = jnp.arange(1, len(ids))
        chosen = jnp.take_along_axis(logps, ids[1:, None], axis=-1)[:, 0]
        logp = jnp.sum(jnp.where((at >= start) & (at < stop), chosen, 0.0))
        return weight * logp, logp

    sides = [(pair.prompt, side) for pair in pairs for side in pair[1:]]
    found, total = [], None
    for number, (prompt, side) in enumerate(sides, 1):
        ids = np.zeros(32, np.int32)
        stop = len(prompt) + len(side)
        ids[:stop] = [*prompt, *side]
        (_, logp), grads = score(params, ids, len(prompt), stop, np.sin(float(number)))
        found.append(logp)
        total = grads if total is None else jax.tree.map(jnp.add, total, grads)
    return np.array(found).reshape(-1, 2), total


def weighted(score):
    """A sum with uneven weights, so that no token's gradient is another's."""

    def loss(params):
        logps = score(params)
        weights = jnp.sin(jnp.arange(1.0, logps.size + 1)).reshape(logps.shape)
        return jnp.sum(weights.astype(logps.dtype) * logps), logps

    return jax.jit(jax.grad(loss, has_aux=True))


def largest(found, expected):
    """The largest difference of two trees, relative to each leaf's largest entry."""

    def gap(a, b):
        return np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)

    return max(jax.tree.leaves(jax.tree.map(gap, found, expected)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_packed_is_padded_is_one_by_one_in_float64(variant):
    with jax.enable_x64(True):
        config = VARIANTS[variant].replace(compute_dtype="float64")
        params = init_params(config, jax.random.key(0), "float64")
        pairs = random_pairs(0)
        expected, expected_grads = one_by_one(config, params, pairs)
        for attention, rows in (
            ("xla", pad(pairs, length=32)),
            ("xla", pack(pairs, length=64)),
            ("blocks", pack(pairs, length=64)),
        ):
            run = config.replace(attention=attention)
            score = functools.partial(scoring.completion_logps, run, rows=rows)
            grads, logps = weighted(score)(params)
            np.testing.assert_allclose(logps, expected, rtol=1e-9)
            assert largest(grads, expected_grads) < 1e-9


BLOCKS = CONFIG.replace(attention="blocks", sliding_window=7)
compiled_score = jax.jit(
    jax.grad(
        lambda params, rows: (
            jnp.sum(jnp.sin(scoring.completion_logps(BLOCKS, params, rows))),
            scoring.completion_logps(BLOCKS, params, rows),
        ),
        has_aux=True,
    )
)


@pytest.mark.parametrize("seed", range(200))
def test_packed_is_padded_in_float32(params, seed):
    pairs = random_pairs(seed)
    packed_grads, packed = compiled_score(params, pack(pairs, length=64, multiple=8))
    padded_grads, padded = compiled_score(params, pad(pairs, length=32))
    np.testing.assert_allclose(packed, padded, rtol=1e-6, atol=1e-5)
    assert largest(packed_grads, padded_grads) < 1e-4


@pytest.mark.parametrize("attention", ["blocks", "xla"])
@pytest.mark.parametrize(
    "axes",
    [
        {"fsdp": 8},
        {"data": 2, "fsdp": 2, "tensor": 2},
        {"fsdp": 2, "sequence": 4},
        {"data": 2, "sequence": 2, "tensor": 2},
    ],
    ids=str,
)
def test_a_mesh_scores_like_one_device(axes, attention):
    config = CONFIG.replace(kv_heads=2, q_groups=1, attention=attention)
    params = init_params(config, jax.random.key(0))
    rows = pack(random_pairs(1, count=11), length=64, multiple=8)
    score = functools.partial(scoring.completion_logps, config)
    grads, logps = weighted(lambda p: score(p, rows))(params)
    mesh = build_mesh(MeshConfig(**({"fsdp": 1} | axes)))
    with jax.set_mesh(mesh):
        placed = place_params(params, logical_axes(config), mesh)
        shared = place_batch(rows, mesh)
        sharded_grads, sharded = weighted(lambda p: score(p, shared))(placed)
    np.testing.assert_allclose(logps, sharded, rtol=1e-5, atol=1e-5)
    assert largest(sharded_grads, grads) < 1e-4


def with_reward_head(params):
    config, params = reward_model(CONFIG, params)
    return config, params | {"reward_head": jnp.linspace(-1.0, 1.0, CONFIG.embed)}


@pytest.mark.parametrize("layout", [pack, pad])
def test_a_reward_is_read_at_the_last_token_of_each_completion(params, layout):
    config, params = with_reward_head(params)
    found = completion_rewards(config, params, layout(PAIRS, length=24))
    for rewards, pair in zip(found, PAIRS, strict=True):
        for reward, side in zip(rewards, pair[1:], strict=True):
            ids = jnp.array([[*pair.prompt, *side]])
            places, segments = jnp.arange(ids.shape[1])[None], jnp.ones_like(ids)
            hidden = hidden_states(config, params, ids, places, segments).hidden[0, -1]
            expected = np.dot(np.asarray(hidden), np.linspace(-1.0, 1.0, CONFIG.embed))
            np.testing.assert_allclose(reward, expected, rtol=1e-5, atol=1e-6)


def test_padding_with_the_end_token_does_not_move_where_a_reward_is_read(params):
    config, params = with_reward_head(params)
    rows = pack(PAIRS, length=32)
    padded = np.where(rows.segment_ids == 0, CONFIG.eos_token_id, rows.token_ids)
    np.testing.assert_allclose(
        completion_rewards(config, params, rows._replace(token_ids=padded)),
        completion_rewards(config, params, rows),
        rtol=1e-5,
    )


@pytest.mark.parametrize("slots", [100, 1000, 1024, 3000])
def test_the_head_computes_no_chunk_of_padding(slots):
    config = CONFIG.replace(vocab_size=50_000)
    chunk = scoring._chunk(config, (6, slots))
    num_chunks = -(-slots // chunk)
    assert num_chunks * chunk - slots < num_chunks
    assert chunk == slots or 6 * chunk * config.vocab_size <= scoring._MAX_LOGITS
