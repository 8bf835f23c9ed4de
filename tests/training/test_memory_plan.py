"""Tests of `rlaif_jax.training.memory_plan`; `test_planned_step` has plans of steps."""

import dataclasses
import json
import re

import pytest

from rlaif_jax.training.memory_plan import MemoryPlan, advice

PLAN = MemoryPlan(
    weights=100,
    frozen=0,
    optimizer=200,
    batch=1,
    beside=0,
    gradients=100,
    logits=20,
    activations=500,
    program=0,
    host=0,
    limit=None,
    shared=2**20,
)


@pytest.mark.parametrize(
    ("limit", "remat", "hint"),
    [
        (390, "none", "without any activation.*mesh.fsdp.*or lora"),
        (500, "dots", "try model.remat=full, more microbatches"),
        (500, "full", "try model.remat=offload, more microbatches"),
        (500, "offload", "try more microbatches, a smaller batch_size or rows.length"),
    ],
)
def test_advice_is_of_what_is_too_large(limit, remat, hint):
    plan = dataclasses.replace(PLAN, limit=limit)
    assert not plan.fits
    assert re.search(hint, advice(plan, remat))


def test_a_device_without_its_own_memory_is_never_refused():
    assert PLAN.fits
    assert dataclasses.replace(PLAN, limit=921).fits
    assert not dataclasses.replace(PLAN, limit=920).fits


def test_a_table_tells_the_parts_that_there_are():
    mib = {field: 2**20 * value for field, value in PLAN.to_json().items() if value}
    mib.pop("peak")
    table = dataclasses.replace(PLAN, **mib, host=2**31).table().splitlines()
    assert table[0] == "memory of a device in a step, MiB:"
    assert table[1].split() == ["weights", "100.00"]
    assert table[-2].split()[:3] == ["in", "all", "921.00"]
    assert table[-1].split() == ["in", "the", "host", "2048.00"]
    assert not any("frozen" in line for line in table)


def test_a_plan_survives_its_file():
    assert MemoryPlan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN
