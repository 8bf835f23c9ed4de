"""Tests of `rlaif_jax.sharding.placement`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import (
    host_rows,
    param_shardings,
    place_batch,
    place_params,
)
from rlaif_jax.sharding.rules import FSDP_TENSOR

AXES = {"layer": {"up": ("layers", "embed", "ffw")}, "scale": ("embed",)}


@pytest.fixture
def mesh():
    return build_mesh(MeshConfig(data=2, fsdp=2, tensor=2))


def test_shardings_follow_the_rules(mesh):
    shardings = param_shardings(AXES, mesh, FSDP_TENSOR)
    assert shardings["layer"]["up"].spec == P(None, ("fsdp", "sequence"), ("tensor",))
    assert shardings["scale"].spec == P(("fsdp", "sequence"))


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_placed_params_keep_their_values_in_parts(mesh, kind):
    up = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6)
    tree = {"layer": {"up": kind(up)}, "scale": kind(np.ones(4, np.float32))}
    placed = place_params(tree, AXES, mesh, FSDP_TENSOR)
    np.testing.assert_array_equal(placed["layer"]["up"], up)
    assert placed["layer"]["up"].addressable_data(0).shape == (3, 2, 3)
    assert placed["scale"].addressable_data(0).shape == (2,)


def test_a_dimension_that_the_mesh_does_not_divide_is_named(mesh):
    tree = {"layer": {"up": np.zeros((3, 4, 5))}, "scale": np.zeros(4)}
    with pytest.raises(UsageError, match=r"tensor of 2 .* dimension 2 of layer\.up"):
        place_params(tree, AXES, mesh, FSDP_TENSOR)


def test_a_batch_is_split_over_data_and_fsdp(mesh):
    rows = {"ids": np.arange(24).reshape(8, 3), "mask": np.ones((8, 2, 3), bool)}
    placed = place_batch(rows, mesh)
    np.testing.assert_array_equal(placed["ids"], rows["ids"])
    assert placed["ids"].addressable_data(0).shape == (2, 3)
    assert placed["mask"].addressable_data(0).shape == (2, 2, 3)
    assert placed["mask"].dtype == bool


def test_a_batch_that_cannot_be_split_names_both_numbers(mesh):
    with pytest.raises(UsageError, match=r"6 rows .* data x fsdp = 4"):
        place_batch(np.zeros((6, 3)), mesh)


def test_work_on_a_placed_batch_equals_the_same_on_one_device(mesh):
    rows = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    total = jax.jit(lambda x: (x * x).sum(axis=1))
    np.testing.assert_allclose(total(place_batch(rows, mesh)), total(rows), rtol=1e-6)


def test_hosts_rows_are_disjoint_and_cover_the_batch():
    rows = [list(range(12))[host_rows(12, host, 3)] for host in range(3)]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_rows_that_hosts_cannot_share_evenly_are_refused():
    with pytest.raises(UsageError, match=r"10 rows .* 4 processes"):
        host_rows(10, 0, 4)
    with pytest.raises(ValueError, match="process 4"):
        host_rows(8, 4, 4)
