"""Tests of `rlaif_jax.models.attending.split`: every backend on a mesh."""

from functools import partial

import jax
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.models.attending import blocks, cudnn, splash
from rlaif_jax.models.attending.rule import Rule
from rlaif_jax.models.attending.split import EVERYWHERE, ROWS, by_rows_and_heads
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


def test_each_device_sees_its_own_rows():
    mesh = build_mesh(MeshConfig(data=4, fsdp=2))
    with jax.set_mesh(mesh):
        lengths = by_rows_and_heads(
            lambda x, y: x * 0 + len(x) + y, (ROWS, EVERYWHERE), ROWS
        )
        assert lengths(np.zeros(16), np.float32(1)).tolist() == [3.0] * 16
