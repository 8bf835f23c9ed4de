"""Tests of `rlaif_jax.commands.plan_search`, with CPUs in place of TPUs."""

import jax
import pytest

from rlaif_jax.commands.plan_case import Case
from rlaif_jax.commands.plan_search import searched
from rlaif_jax.config_file import validate
from rlaif_jax.config_plan import PlanConfig
from rlaif_jax.config_training import SftConfig
from rlaif_jax.planning.exchanges import Links
from rlaif_jax.planning.gpus import gpu_topology
from rlaif_jax.planning.topology import Topology
from rlaif_jax.runtime.chips import Chip

CHIP = Chip(flops=1e12, memory=2**30, memory_rate=1e11, link_rate=1e10)
DOCUMENT = {
    "model": {"path": "nowhere"},
    "optimizer": {"name": "rmsprop", "learning_rate": 1e-6},
    "tokens": {"max_prompt_tokens": 16, "max_completion_tokens": 16},
    "prompts": "p",
    "completions": "c",
    "rows": {"layout": "padded"},  # whose loops have a known length on CPUs
    "batch_size": 4,
}


def case(topology: Topology, architecture="llama-tiny", **changes) -> Case:
    config = PlanConfig(
        topology=topology.name, architecture=architecture, search=True, **changes
    )
    return Case(validate(SftConfig, DOCUMENT), config, topology)


def slice_of_cpus(memory=2.0**30) -> Topology:
    """Two CPUs that are taken for a slice of TPUs."""
    return Topology("v0:1x2", jax.devices()[:2], CHIP, "tpu", Links(1e10), memory)


def gpus(name="h100:4") -> Topology:
    return gpu_topology(name, None)


def silent(told: str) -> None:
    del told


def test_every_shape_is_tried_and_what_the_run_refuses_says_why(tmp_path):
    found = searched(case(gpus()), tmp_path, silent)
    tried = [one["overrides"] for one in found["candidates"]]
    # 6 meshes of 4 devices, 4 policies, 1, 2 or 4 parts of 4 examples
    assert len(tried) == len({tuple(one) for one in tried}) == 6 * 4 * 3
    dropped = [one["dropped"] for one in found["candidates"] if one["dropped"]]
    assert any("cannot be split" in why for why in dropped)
    assert any("does not divide dimension" in why for why in dropped)  # 2 heads by 4


def test_the_fastest_is_first_and_can_be_pasted(tmp_path):
    found = searched(case(gpus()), tmp_path, silent)
    kept = [one for one in found["candidates"] if one["dropped"] is None]
    middles = [sum(one["seconds"]) for one in kept]
    assert middles == sorted(middles)
    assert found["overrides"] == kept[0]["overrides"]
    assert found["fits"] and found["by"] == "model"
    given = dict(one.split("=") for one in found["overrides"])
    assert given.keys() == {
        *(f"mesh.{axis}" for axis in ("data", "fsdp", "tensor", "expert")),
        "model.remat",
        "microbatches",
    }


def test_experts_are_divided_where_there_are_some(tmp_path):
    def axes(architecture):
        found = searched(case(gpus("h200:2"), architecture), tmp_path, silent)
        return {one for each in found["candidates"] for one in each["overrides"]}

    assert "mesh.expert=2" not in axes("llama-tiny")
    assert "mesh.expert=2" in axes("mixtral-8x7b-v0.1")


def test_if_nothing_fits_every_candidate_says_so(tmp_path):
    found = searched(case(gpus(), "llama-2-70b"), tmp_path, silent)
    assert not found["fits"] and found["steps"] == [] and found["overrides"] == []
    assert all(one["dropped"] for one in found["candidates"])
    assert any("by the model" in one["dropped"] for one in found["candidates"])


def test_a_killed_search_compiles_nothing_twice(tmp_path):
    planned = case(slice_of_cpus(), search_compiles=2)

    def compiles(stops_at: int | None) -> int:
        told: list[str] = []

        def say(line: str) -> None:
            if line.startswith("compiling") and len(told) == stops_at:
                raise KeyboardInterrupt
            told.extend([line] * line.startswith("compiling"))

        if stops_at is None:
            searched(planned, tmp_path, say)
        else:
            with pytest.raises(KeyboardInterrupt):
                searched(planned, tmp_path, say)
        return len(told)

    assert compiles(stops_at=1) == 1
    assert compiles(stops_at=None) == 1
    assert compiles(stops_at=None) == 0
    found = searched(planned, tmp_path, silent)
    kept = [one for one in found["candidates"] if one["dropped"] is None]
    assert [one["by"] for one in kept] == ["compiler", "compiler"]
    assert found["by"] == "compiler" and found["steps"][0]["compile_s"] > 0
    slower = [one for one in found["candidates"] if "slower" in (one["dropped"] or "")]
    assert slower and all(one["by"] == "model" for one in slower)
