"""Tests of `rlaif_jax.inspection.scorer`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig, RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Pair, pack
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


LAYOUT = build_layout(RowsConfig(), length=16, num_devices=8)


def scored(num_devices, batch_size):
    mesh = build_mesh(MeshConfig(), jax.devices()[:num_devices])
    scorer = PairScorer(mesh=mesh, layout=LAYOUT, batch_size=batch_size)
    params = init_params(CONFIG, jax.random.key(0))
    model = Model(CONFIG, place_params(params, logical_axes(CONFIG), mesh))
    return scorer.logps(model, PAIRS), scorer.token_logps(model, PAIRS)


@pytest.mark.parametrize(("num_devices", "batch_size"), [(1, 2), (1, 8), (8, 3)])
def test_scores_do_not_depend_on_batches_or_devices(num_devices, batch_size):
    rows = jax.tree.map(jnp.asarray, pack(PAIRS, length=32))
    params = init_params(CONFIG, jax.random.key(0))
    expected = completion_logps(CONFIG, params, rows)

    logps, token_logps = scored(num_devices, batch_size)

    np.testing.assert_allclose(logps, expected, rtol=1e-5)
    lengths = [[len(side) for side in pair[1:]] for pair in PAIRS]
    assert [[len(side) for side in pair] for pair in token_logps] == lengths
    sums = [[side.sum() for side in pair] for pair in token_logps]
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


def test_rewards_of_pairs_are_those_of_their_rows():
    mesh = build_mesh(MeshConfig(), jax.devices())
    config, params = reward_model(CONFIG, init_params(CONFIG, jax.random.key(0)))
    params |= {"reward_head": np.linspace(-1, 1, CONFIG.embed, dtype=np.float32)}
    rows = jax.tree.map(jnp.asarray, pack(PAIRS, length=32))
    expected = completion_rewards(config, params, rows)
    model = Model(config, place_params(params, logical_axes(config), mesh))
    scorer = PairScorer(mesh=mesh, layout=LAYOUT, batch_size=2)
    np.testing.assert_allclose(scorer.rewards(model, PAIRS), expected, rtol=1e-5)
