"""Tests of `rlaif_jax.checkpoint.weights`."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.weights import (
    Origin,
    keep_origin,
    load_weights,
    read_origin,
)
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.models import (
    Lora,
    TransformerConfig,
    init_adapters,
    init_params,
    joined_params,
    merged_params,
)
from rlaif_jax.sharding.mesh import build_mesh

PLAIN = TransformerConfig(
    family="llama",
    vocab_size=32,
    embed=16,
    num_layers=2,
    kv_heads=2,
    q_groups=1,
    head_dim=8,
    ffw=16,
    max_positions=32,
    norm_eps=1e-5,
    eos_token_id=1,
)
ADAPTED = PLAIN.replace(lora=Lora(rank=2, alpha=4.0, targets=("q", "down")))
PARAMS = init_params(PLAIN, jax.random.key(0))


def random_adapters(seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(rng.normal(size=leaf.shape), leaf.dtype),
        init_adapters(ADAPTED, jax.random.key(0)),
    )


def saved(path, config, params, step=0):
    folder = store.create_folder(path, config, Path("none"))
    store.save(folder, step, {"params": params}, {}, keep=1)
    return folder


@pytest.fixture
def base(tmp_path):
    return saved(tmp_path / "runs" / "base", PLAIN, PARAMS, step=3)


@pytest.fixture
def adapters(tmp_path, base):
    """A folder of adapters of the base."""
    folder = saved(tmp_path / "runs" / "adapters", ADAPTED, random_adapters(), step=7)
    keep_origin(folder, Origin.at(base, 3))
    return folder


def expected(params=PARAMS, adapters=None):
    return merged_params(ADAPTED, joined_params(params, adapters or random_adapters()))


def require_equal(found, wanted):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, wanted
    )


def test_a_plain_folder_gives_what_it_holds(base):
    weights = load_weights(base.path)
    assert (weights.config, weights.step) == (PLAIN, 3)
    jax.tree.map(np.testing.assert_array_equal, weights.params, PARAMS)


@pytest.mark.parametrize("mesh", [None, MeshConfig(data=2, fsdp=2, tensor=2)])
def test_a_folder_of_adapters_gives_merged_weights(adapters, mesh):
    devices = mesh and build_mesh(mesh)
    weights = load_weights(adapters.path, mesh=devices)
    assert (weights.config, weights.step) == (PLAIN, 7)
    require_equal(weights.params, expected())
    if devices:
        assert not weights.params["layers"]["attention"]["q"].is_fully_replicated


def test_adapters_of_adapters(tmp_path, adapters):
    second = saved(tmp_path / "second", ADAPTED, random_adapters(seed=1))
    keep_origin(second, Origin.at(adapters, 7))
    twice = expected(expected(), random_adapters(seed=1))
    require_equal(load_weights(second.path).params, twice)


def test_runs_that_move_together_still_find_each_other(tmp_path, adapters):
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    require_equal(load_weights(tmp_path / "elsewhere" / "adapters").params, expected())


def test_a_base_that_is_gone_is_told(adapters, base):
    shutil.rmtree(base.path)
    with pytest.raises(UsageError, match=r"adapters of .*base at step 3, which is not"):
        load_weights(adapters.path)


def test_a_base_that_was_written_again_is_told(adapters, base):
    shutil.rmtree(base.path)
    other = init_params(PLAIN, jax.random.key(1))
    saved(base.path, PLAIN, other, step=3)
    with pytest.raises(CorruptDataError, match="not what the adapters in"):
        load_weights(adapters.path)


def test_an_origin_does_not_change(adapters, base):
    keep_origin(adapters, Origin.at(base, 3))  # the same again is fine
    with pytest.raises(UsageError, match="adapters of another model"):
        keep_origin(adapters, Origin(base.path, 3, "0" * 64))


def test_a_damaged_origin_is_told(adapters):
    (adapters.path / "origin.json").write_text(json.dumps({"path": "x"}))
    with pytest.raises(CorruptDataError, match="names no model"):
        read_origin(adapters)


def test_a_missing_step_is_told(base):
    with pytest.raises(UsageError, match="no step 4"):
        load_weights(base.path, step=4)
