"""Tests of `rlaif_jax.inspection.scorer`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config import MeshConfig
from rlaif_jax.data.rows import Pair, TokenRows, pair_rows
from rlaif_jax.inspection.scorer import Model, PairScorer
from rlaif_jax.models import init_params, logical_axes, preset, reward_model
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import place_params
from rlaif_jax.training.scoring import completion_logps, completion_rewards

CONFIG = preset("llama-tiny").replace(vocab_size=24)
PAIRS = [
    Pair([5, 6, 7], [8, 9, 2], [4, 2]),
    Pair([10], [11], [12, 13, 14, 2]),
    Pair([3, 3], [4, 5, 2], [4, 6, 2]),
]


def scored(num_devices, batch_size):
    mesh = build_mesh(MeshConfig(), jax.devices()[:num_devices])
    scorer = PairScorer(mesh=mesh, length=8, batch_size=batch_size)
    params = init_params(CONFIG, jax.random.key(0))
    model = Model(CONFIG, place_params(params, logical_axes(CONFIG), mesh))
    return scorer.logps(model, PAIRS), scorer.token_logps(model, PAIRS)


@pytest.mark.parametrize(("num_devices", "batch_size"), [(1, 2), (1, 8), (8, 3)])
def test_scores_do_not_depend_on_batches_or_devices(num_devices, batch_size):
    rows = TokenRows(*map(jnp.asarray, pair_rows(PAIRS, 8)))
    params = init_params(CONFIG, jax.random.key(0))
    expected = completion_logps(CONFIG, params, rows)

    logps, token_logps = scored(num_devices, batch_size)

    np.testing.assert_allclose(logps, expected, rtol=1e-5)
    assert token_logps.shape == (3, 2, 8)
    np.testing.assert_allclose(token_logps.sum(axis=-1), expected, rtol=1e-5)


def test_rewards_of_pairs_are_those_of_their_rows():
    mesh = build_mesh(MeshConfig(), jax.devices())
    config, params = reward_model(CONFIG, init_params(CONFIG, jax.random.key(0)))
    params |= {"reward_head": np.linspace(-1, 1, CONFIG.embed, dtype=np.float32)}
    rows = TokenRows(*map(jnp.asarray, pair_rows(PAIRS, 8)))
    expected = completion_rewards(config, params, rows)
    model = Model(config, place_params(params, logical_axes(config), mesh))
    scorer = PairScorer(mesh=mesh, length=8, batch_size=2)
    np.testing.assert_allclose(scorer.rewards(model, PAIRS), expected, rtol=1e-5)
