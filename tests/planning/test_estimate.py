"""Tests of `rlaif_jax.planning.estimate`."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from jax.stages import Lowered

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.planning.estimate import Demand, Estimate, Step, estimate
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
    step = Step(Demand("train", flops, flops, tokens=SIZE), lowered)
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


def test_large_arrays_that_are_not_split_are_told_of():
    mesh = build_mesh(MeshConfig(), jax.devices()[:8])
    rows, everywhere = (
        NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("fsdp",), ())
    )
    size = 4096  # 64 MiB in float32
    given = {
        "split": jax.ShapeDtypeStruct((size, size), jnp.float32, sharding=rows),
        "whole": jax.ShapeDtypeStruct((size, size), jnp.float32, sharding=everywhere),
        "small": jax.ShapeDtypeStruct((size,), jnp.float32, sharding=everywhere),
        "unused": jax.ShapeDtypeStruct((size, size), jnp.float32),
    }

    def gathered(given):
        return jnp.sin(given["split"]) + given["whole"] + given["small"]

    lowered = jax.jit(gathered, out_shardings=everywhere).lower(given)
    step = Step(Demand("s", 1, 1, tokens=1), lowered)
    found = estimate(step, CHIP, 8).whole
    assert [one.num_bytes for one in found] == [2**26, 2**26]
    assert [one.what for one in found] == [
        "argument [0]['whole']",
        "all-gather of a result",
    ]
    assert estimate(step, CHIP, 1).whole == []


class Refusing(Lowered):
    """What a compiler does with a step that it does not take."""

    def __init__(self, told):
        self.told = told

    def compile(self, *_, **__):
        raise jax.errors.JaxRuntimeError(self.told)


def refused(told):
    step = Step(Demand("s", 8, 8, tokens=1), Refusing(told))
    return estimate(step, CHIP, 8)


@pytest.mark.parametrize(("used", "unit"), [("43.32", "G"), ("1.20", "T")])
def test_a_refusal_tells_what_was_wanted_and_nothing_more(used, unit):
    found = refused(
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in"
        f" memory space hbm. Used {used}{unit} of 15.75G hbm. Exceeded hbm capacity."
    )
    size = {"G": 2**30, "T": 2**40}[unit]
    assert found.bytes_per_chip == int(float(used) * size)
    assert found.limit == int(15.75 * 2**30)
    assert not found.fits
    assert "mfu_bound" not in found.to_json(CHIP, 8)


def test_temporaries_alone_may_be_too_much():
    found = refused(
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for"
        " HLO temporaries (25.32G) exceeds available HBM (15.75G)."
    )
    assert found.bytes_per_chip == int(25.32 * 2**30)
    assert found.limit == int(15.75 * 2**30)


def test_another_error_is_no_refusal():
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        refused("INTERNAL: Mosaic failed")
