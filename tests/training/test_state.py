"""Tests of `rlaif_jax.training.state`."""

import jax
import numpy as np
import optax
import pytest

from rlaif_jax.config_parts import AdamWConfig, MeshConfig, RmspropConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.state import StateLayout

OPTIMIZERS = [AdamWConfig(learning_rate=0.1), RmspropConfig(learning_rate=0.1)]


@pytest.mark.parametrize("config", OPTIMIZERS, ids=lambda config: config.name)
def test_statistics_live_with_their_parameters(tiny, params, eight_devices, config):
    layout = StateLayout.create(tiny, build_optimizer(config, None), eight_devices)
    state = layout.fresh(params)
    statistics = optax.tree.get(state.opt_state, "nu")
    jax.tree.map(
        lambda param, statistic: np.testing.assert_equal(
            statistic.sharding, param.sharding
        ),
        state.params,
        statistics,
    )
    assert not state.params["embedding"].is_fully_replicated


def test_a_fresh_state_shares_no_memory_with_its_start(tiny, params, one_device):
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    layout = StateLayout.create(tiny, optimizer, one_device)
    own = jax.device_put(params, layout.shardings.params)
    state = layout.fresh(own)
    jax.tree.map(lambda leaf: leaf.delete(), state.params)
    assert np.isfinite(own["embedding"]).all()


def test_restored_is_the_state_that_was_saved(tiny, params, one_device):
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    layout = StateLayout.create(tiny, optimizer, one_device)
    state = layout.fresh(params)._replace(step=jax.numpy.int32(7))
    again = layout.restored(layout.saved(state), 7)
    jax.tree.map(np.testing.assert_array_equal, again, state)
    assert jax.tree.structure(again) == jax.tree.structure(layout.abstract)


def test_a_mesh_that_does_not_divide_the_model_is_refused(tiny):
    mesh = build_mesh(MeshConfig(data=1, fsdp=1, tensor=8))
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    with pytest.raises(UsageError, match="tensor of 8 devices does not divide"):
        StateLayout.create(tiny, optimizer, mesh)
