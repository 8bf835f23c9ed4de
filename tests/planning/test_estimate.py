"""Tests of `rlaif_jax.planning.estimate`."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.planning.estimate import Estimate, Step, _bytes_refused, estimate
from rlaif_jax.runtime.chips import Chip
from rlaif_jax.sharding.mesh import build_mesh

SIZE = 256
CHIP = Chip(flops=1e9, memory=2**30, memory_rate=1e8, link_rate=1e7)


@pytest.fixture(scope="module")
def found() -> Estimate:
    """Of a product of two matrices, each split by rows over 8 devices."""
    mesh = build_mesh(MeshConfig(), jax.devices()[:8])
    rows = NamedSharding(mesh, PartitionSpec("fsdp"))
    matrix = jax.ShapeDtypeStruct((SIZE, SIZE), jnp.float32, sharding=rows)
    lowered = jax.jit(jnp.matmul, out_shardings=rows).lower(matrix, matrix)
    flops = 2 * SIZE**3
    step = Step(
        name="train", lowered=lowered, flops=flops, executed_flops=flops, tokens=SIZE
    )
    return estimate(step, CHIP, 8)


def test_bytes_are_those_of_one_device(found):
    part = SIZE * SIZE * 4 // 8
    assert found.argument_bytes == 2 * part
    # two parts, the result's, and the second matrix whole
    assert found.bytes_per_chip >= 3 * part + 8 * part
    assert found.temporary_bytes >= 8 * part
    assert found.fits


def test_times_are_amounts_over_rates(found):
    sent = SIZE * SIZE * 4 * 7 // 8
    assert found.collective_bytes == {"all-gather": sent}
    assert found.link_s == pytest.approx(sent / 1e7)
    assert found.compute_s == pytest.approx(2 * SIZE**3 / 8 / 1e9)
    assert found.memory_s == pytest.approx(found.memory_traffic / 1e8)
    assert found.bound_by == "links"
    assert found.least_seconds == found.link_s
    assert found.serial_seconds == pytest.approx(
        found.link_s + found.compute_s + found.memory_s
    )
    assert found.mfu_bound(CHIP, 8) == pytest.approx(found.compute_s / found.link_s)
    assert found.intensity(8) == pytest.approx(2 * SIZE**3 / 8 / found.memory_traffic)


def test_a_refusal_tells_what_was_wanted():
    told = (
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in"
        " memory space hbm. Used 43.32G of 15.75G hbm. Exceeded hbm capacity by 27.57G."
    )
    assert _bytes_refused(RuntimeError(told)) == int(43.32 * 2**30)


def test_another_error_is_no_refusal():
    with pytest.raises(RuntimeError, match="INTERNAL"):
        _bytes_refused(RuntimeError("INTERNAL: Mosaic failed"))
