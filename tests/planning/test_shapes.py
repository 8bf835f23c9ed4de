"""Tests of `rlaif_jax.planning.shapes`."""

import jax
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig, RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Pair
from rlaif_jax.models import init_params, logical_axes
from rlaif_jax.models.registry import preset
from rlaif_jax.planning.shapes import (
    pair_shapes,
    prompt_shapes,
    row_shapes,
    weight_shapes,
)
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import place_params
from rlaif_jax.training.batches import place_rows


@pytest.fixture(scope="module")
def mesh():
    return build_mesh(MeshConfig(tensor=2), jax.devices()[:8])


def described(tree):
    """Shape, dtype and sharding of every array."""
    return jax.tree.map(lambda x: (x.shape, np.dtype(x.dtype), x.sharding.spec), tree)


def test_rows_are_those_that_a_run_places(mesh):
    layout = build_layout(RowsConfig(), length=32, num_devices=4)
    pairs = [Pair(range(8), range(8), range(8))] * 16
    first, second = row_shapes(layout, pairs, mesh, parts=2)
    assert described(first) == described(second)
    placed = place_rows(layout.parts([pairs[:8]])[0], mesh)
    assert described(first) == described(placed)
    batch = pair_shapes(first, True)
    assert batch.reference.shape == first.sources.shape
    assert batch.reference.dtype == np.float32
    assert pair_shapes(first, False).reference is None


def test_weights_are_those_of_the_model(mesh):
    config = preset("llama-tiny")
    params = init_params(config, jax.random.key(0))
    placed = place_params(params, logical_axes(config), mesh)
    assert described(weight_shapes(config, mesh, "float32")) == described(placed)
    half = jax.tree.leaves(weight_shapes(config, mesh, "bfloat16"))
    assert {leaf.dtype for leaf in half} == {np.dtype("bfloat16")}


def test_prompts_are_split_by_rows(mesh):
    prompts = prompt_shapes(8, 16, mesh)
    assert prompts.token_ids.shape == (8, 16)
    assert prompts.row_hashes.dtype == np.uint32
    assert all(leaf.sharding.spec[0] == ("data", "fsdp") for leaf in prompts)
