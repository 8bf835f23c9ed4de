"""`plan`: what a run takes of devices that are not here."""

from pathlib import Path

import jax

from rlaif_jax.cli import config_of
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.plan_case import Case, compiled, modelled
from rlaif_jax.commands.plan_result import result_of
from rlaif_jax.commands.plan_search import searched
from rlaif_jax.commands.plan_table import show
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_file import validate
from rlaif_jax.config_plan import PlanConfig
from rlaif_jax.config_training import DpoConfig, RewardConfig, SftConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_json
from rlaif_jax.planning.gpus import gpu_topology, is_gpus
from rlaif_jax.planning.topology import Topology, tpu_topology
from rlaif_jax.provenance import write_run_info
from rlaif_jax.typing import Json

__all__ = ["run", "show"]


def run(config: PlanConfig, out: Path, console: Console) -> Json:
    """Tells what each step of the planned verb takes, or searches for its best mesh."""
    jax.config.update("jax_platforms", "cpu")  # who trains here keeps the accelerators
    planned = validate(config_of(config.planned), config.run)
    assert isinstance(planned, SftConfig | DpoConfig | RewardConfig | SampleConfig)
    case = Case(planned, config, _topology(config))
    if config.search:
        _require_rates(case.topology)
        result = searched(case, out, console.say)
    else:
        told = modelled if case.topology.platform == "gpu" else compiled
        result = result_of(case, told(case, console.say))
    write_run_info(out, config)
    write_json(out / "plan.json", result)
    return result


def _require_rates(topology: Topology) -> None:
    """Refuses to rank by time where a part of the time is not known.

    Raises:
      UsageError: If there are several hosts, and nobody knows how they are linked.
    """
    links = topology.links
    if links.host and len(topology.devices) > links.host and links.far is None:
        raise UsageError(
            f"search on topology={topology.name}: how fast a GPU sends to other hosts"
            " is not known: give link_gbps, as 400 with an NDR adapter for each"
        )


def _topology(config: PlanConfig) -> Topology:
    if is_gpus(config.topology):
        if config.slices > 1:
            raise UsageError(
                f"slices={config.slices}: GPUs have hosts, not slices: give their"
                " number, as topology=h100:16"
            )
        return gpu_topology(config.topology, config.link_gbps)
    return tpu_topology(config.topology, config.slices)
