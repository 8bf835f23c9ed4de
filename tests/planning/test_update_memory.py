"""Tests of `rlaif_jax.planning.update_memory`."""

import jax.numpy as jnp
import pytest

from rlaif_jax.config_parts import AdamWConfig
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.planning.update_memory import COMPILERS, UpdateMemory
from rlaif_jax.training.guard import GuardState
from rlaif_jax.training.step import TrainState

MATRIX, VECTOR = 16 * 32, 32


def state() -> TrainState:
    """Of AdamW with all that is rounded."""
    config = AdamWConfig(learning_rate=1e-3, moments="int8", weights="bfloat16")
    params = {"w": jnp.zeros((16, 32), "bfloat16"), "b": jnp.zeros(32, "bfloat16")}
    axes = {"w": ("embed", "ffw"), "b": ("ffw",)}
    optimizer = build_optimizer(config, 10, axes=axes)
    step = jnp.zeros((), jnp.int32)
    return TrainState(step, params, optimizer.init(params), GuardState.fresh())


def test_words_are_those_of_weights_and_coded_moments():
    found = UpdateMemory(state(), COMPILERS["cpu"], is_whole=True).phases({})["update"]
    assert found["words"] == 8 * (2 * MATRIX + MATRIX + VECTOR)
    assert found["moments"] == 4 * 2 * MATRIX


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_where_threefry_is_no_loop_rounding_takes_no_arrays(platform):
    update = UpdateMemory(state(), COMPILERS[platform], is_whole=True)
    phases = update.phases(update.early)
    assert not update.early["words"] and not phases["random"]["other words"]
    assert not phases["update"]["words"] and not phases["update"]["moments"]
