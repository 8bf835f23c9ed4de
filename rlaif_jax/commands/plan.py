"""`plan`: what a run takes of TPUs that are not here, by their own compiler."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import jax
from jax.sharding import Mesh

from rlaif_jax.cli import config_of
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.planned import Lengths, sampling_steps, training_steps
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_file import validate
from rlaif_jax.config_plan import PlanConfig
from rlaif_jax.config_training import DpoConfig, RewardConfig, SftConfig
from rlaif_jax.files import write_json
from rlaif_jax.planning.estimate import Estimate, Step, estimate
from rlaif_jax.planning.topology import Topology, tpu_topology
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.typing import Json

_GIB, _TERA, _GIGA, _HOUR = 2**30, 1e12, 1e9, 3600.0


def run(config: PlanConfig, out: Path, console: Console) -> Json:
    """Compiles every step of the planned verb, and tells what each takes."""
    planned = validate(config_of(config.planned), config.run)
    assert isinstance(planned, SftConfig | DpoConfig | RewardConfig | SampleConfig)
    topology = tpu_topology(config.topology)
    mesh = build_mesh(planned.mesh, topology.devices)
    found: list[Estimate] = []
    with jax.set_mesh(mesh):
        for step in _steps(planned, config, mesh):
            console.say(f"compiling {step.name} for {topology.name}")
            found.append(estimate(step, topology.chip, mesh.size))
    result = _result(config, planned, topology, found)
    write_json(out / "plan.json", result)
    return result


def _steps(
    planned: SftConfig | DpoConfig | RewardConfig | SampleConfig,
    config: PlanConfig,
    mesh: Mesh,
) -> Iterator[Step]:
    lengths = Lengths(config.prompt_tokens, config.completion_tokens)
    if isinstance(planned, SampleConfig):
        return sampling_steps(planned, config.architecture, lengths, mesh)
    return training_steps(planned, config.architecture, lengths, mesh)


def _result(
    config: PlanConfig,
    planned: SftConfig | DpoConfig | RewardConfig | SampleConfig,
    topology: Topology,
    found: list[Estimate],
) -> Json:
    """The first step's figures, then those of all."""
    chips, chip = len(topology.devices), topology.chip
    steps = [
        asdict(one)
        | {
            "least_seconds": one.least_seconds,
            "serial_seconds": one.serial_seconds,
            "bound_by": one.bound_by,
            "mfu_bound": one.mfu_bound(chip, chips),
            "flops_per_byte": one.intensity(chips),
        }
        for one in found
    ]
    first = found[0]
    return {
        "verb": config.planned,
        "topology": topology.name,
        "chips": chips,
        "bytes_per_chip": max(one.bytes_per_chip for one in found),
        "hbm_bytes_per_chip": int(chip.memory),
        "fits": all(one.fits for one in found),
        "flops": first.flops,
        "collective_bytes": sum(first.collective_bytes.values()),
        "step_seconds": first.least_seconds,
        "steps": steps,
        "run": _bill(config, planned, found, chips),
    }


def _bill(
    config: PlanConfig,
    planned: SftConfig | DpoConfig | RewardConfig | SampleConfig,
    found: list[Estimate],
    chips: int,
) -> Json | None:
    """Hours and price of the whole run, between its two bounds."""
    if config.examples is None or not all(one.fits for one in found):
        return None
    size = planned.batch_size
    epochs = 1 if isinstance(planned, SampleConfig) else planned.epochs
    batches = -(-config.examples // size)
    parts = 1 if isinstance(planned, SampleConfig) else planned.microbatches
    # the reference scores each part of a batch, once in the whole run
    times = {"reference": batches * parts}
    hours = [
        sum(seconds(one) * times.get(one.name, batches * epochs) for one in found)
        / _HOUR
        for seconds in (lambda one: one.least_seconds, lambda one: one.serial_seconds)
    ]
    bill: Json = {"steps": batches * epochs, "hours": hours}
    if config.usd_per_chip_hour is not None:
        bill["usd"] = [one * chips * config.usd_per_chip_hour for one in hours]
    return bill


def show(result: Json, out: Path) -> None:
    """Prints a table, a column a step."""
    chips, steps = result["chips"], result["steps"]
    limit = result["hbm_bytes_per_chip"] / _GIB
    print(f"{result['verb']} on {result['topology']}, {chips} chips of {limit:.0f} GiB")
    columns = [_column(one, chips) for one in steps]
    print(f"  {'':32}" + "".join(f"{one['name']:>14}" for one in steps))
    for label in max(columns, key=len):
        cells = (column.get(label, "-") for column in columns)
        print(f"  {label:32}" + "".join(f"{cell:>14}" for cell in cells))
    if result["run"] is not None:
        print(_told(result["run"]))
    print("it fits" if result["fits"] else "it does not fit: docs/plan.md has remedies")
    print(out / "plan.json")


def _column(one: Json, chips: int) -> dict[str, str]:
    """What is shown of a step."""
    column = {
        "GiB a chip": f"{one['bytes_per_chip'] / _GIB:.2f}",
        "TFLOP": f"{one['flops'] / _TERA:,.1f}",
        "TFLOP, with recomputed layers": f"{one['executed_flops'] / _TERA:,.1f}",
    }
    if not one["fits"]:
        return column
    column |= {
        "  arguments": f"{one['argument_bytes'] / _GIB:.2f}",
        "  temporaries": f"{one['temporary_bytes'] / _GIB:.2f}",
        "GiB of its host": f"{one['host_bytes'] / _GIB:.2f}",
        "GB sent by a chip": f"{sum(one['collective_bytes'].values()) / _GIGA:.2f}",
    }
    for kind, size in sorted(one["collective_bytes"].items()):
        column[f"  {kind}"] = f"{size / _GIGA:.2f}"
    return column | {
        "GB of memory traffic": f"{one['memory_traffic'] / _GIGA:.1f}",
        "FLOP a byte": f"{one['flops_per_byte']:.0f}",
        "ms of operations": f"{1e3 * one['compute_s']:.1f}",
        "ms of memory": f"{1e3 * one['memory_s']:.1f}",
        "ms of links": f"{1e3 * one['link_s']:.1f}",
        "ms, all at once": f"{1e3 * one['least_seconds']:.1f}",
        "ms, one after the other": f"{1e3 * one['serial_seconds']:.1f}",
        "MFU at most": f"{one['mfu_bound']:.1%}",
        "tokens/s at most": f"{one['tokens'] / one['least_seconds']:,.0f}",
        "seconds of compiling": f"{one['compile_s']:.1f}",
        "GiB of compiling": f"{one['host_peak_bytes'] / _GIB:.1f}",
    }


def _told(bill: Json) -> str:
    """The bill in a line."""
    low, high = bill["hours"]
    text = f"{bill['steps']} steps: {low:.2f} to {high:.2f} hours"
    if "usd" in bill:
        low, high = bill["usd"]
        text += f", {low:,.2f} to {high:,.2f} USD"
    return text
