"""Tests of `rlaif_jax.models.attending.split`: every backend on a mesh."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.models import preset
from rlaif_jax.models.attending import blocks, cudnn, dense, reading, splash
from rlaif_jax.models.attending.rule import Rule
from rlaif_jax.models.attending.split import (
    EVERYWHERE,
    QUERIES,
    ROWS,
    by_rows_and_heads,
)
from rlaif_jax.sharding.mesh import build_mesh

RULE = Rule(0.25, None, 5)
MOVES = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def gradients(module, read, heads, places):
    def total(heads):
        mixed = read(heads, module.prepare(places, RULE), RULE)
        return (mixed**2 * (places.segments > 0)[:, :, None, None, None]).sum((1, 2, 3))

    value, pull = jax.vjp(total, heads)
    return value, pull(np.ones(value.shape, np.float32))


@pytest.mark.parametrize(
    ("module", "read", "rows"),
    [
        (blocks, blocks.read, [[9, 7], [4]]),
        (cudnn, partial(cudnn.read, implementation="xla"), [[9], [16]]),
        (splash, partial(splash.read, interpret=True), [[9, 7], [4]]),
    ],
    ids=["blocks", "cudnn", "splash"],
)
def test_a_mesh_changes_nothing_and_moves_nothing(
    module, read, rows, heads_of, rows_of
):
    places = rows_of(*rows * 2, length=16)
    heads = heads_of(4, groups=2, length=16)
    compute = jax.jit(partial(gradients, module, read))
    expected = compute(heads, places)
    mesh = build_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
    with jax.set_mesh(mesh):
        split = jax.sharding.NamedSharding(
            mesh, jax.sharding.PartitionSpec(("data", "fsdp"), None, "tensor")
        )
        by_row = jax.sharding.NamedSharding(mesh, ROWS)
        arguments = jax.device_put(heads, split), jax.device_put(places, by_row)
        program = compute.lower(*arguments).compile()
        actual = program(*arguments)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(close, actual, expected)
    text = program.as_text()
    assert not [move for move in MOVES if move in text]


@pytest.mark.parametrize(
    ("module", "read"),
    [
        (dense, dense.read),
        (blocks, blocks.read),
        (splash, partial(splash.read, interpret=True)),
    ],
    ids=["xla", "blocks", "splash"],
)
@pytest.mark.parametrize(
    ("window", "is_shared"), [(60, False), (None, True)], ids=["packed", "shared"]
)
def test_queries_may_be_on_other_devices_than_keys(
    module, read, window, is_shared, heads_of, rows_of
):
    pairs = ([(90, 60, 70), (10, 9, 8)], [(30, 20, 25), (64, 30, 40)])
    rows = pairs if is_shared else ([90, 130], [256])
    places = rows_of(*rows, length=256, has_branches=is_shared)
    heads, rule = heads_of(2, groups=2, length=256), Rule(0.25, None, window)
    is_text = (places.segments > 0)[:, :, None, None, None]
    wanted = jax.random.normal(jax.random.key(9), heads.q.shape) * is_text

    def run(heads, places):
        told = module.prepare(places, rule)
        mixed, pull = jax.vjp(lambda given: read(given, told, rule), heads)
        return jnp.where(is_text, mixed, 0.0), pull(wanted)

    expected = jax.jit(run)(heads, places)
    mesh = build_mesh(MeshConfig(data=2, fsdp=1, sequence=2, tensor=2))
    with jax.set_mesh(mesh):
        by_row = NamedSharding(mesh, ROWS)
        by_query = NamedSharding(mesh, QUERIES)
        placed = jax.device_put(heads, by_query), jax.device_put(places, by_row)
        actual = jax.jit(run, out_shardings=by_query)(*placed)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=2e-5)
    jax.tree.map(close, actual, expected)


def test_a_kernel_that_knows_no_other_queries_is_refused(rows_of):
    config = preset("llama-tiny").replace(attention="cudnn", compute_dtype="bfloat16")
    places = rows_of([16], length=16)
    with (
        jax.set_mesh(build_mesh(MeshConfig(sequence=2))),
        pytest.raises(UsageError, match=r"cudnn cannot do rows split over devices"),
    ):
        reading.prepare(config, places)


def test_each_device_sees_its_own_rows():
    mesh = build_mesh(MeshConfig(data=4, fsdp=2))
    with jax.set_mesh(mesh):
        lengths = by_rows_and_heads(
            lambda x, y: x * 0 + len(x) + y, (ROWS, EVERYWHERE), ROWS
        )
        assert lengths(np.zeros(16), np.float32(1)).tolist() == [3.0] * 16
