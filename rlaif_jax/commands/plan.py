"""`plan`: what a run takes of TPUs that are not here, by their own compiler."""

from collections.abc import Iterator
from pathlib import Path

import jax
from jax.sharding import Mesh

from rlaif_jax.cli import config_of
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.planned import (
    Assumed,
    num_steps,
    sampling_steps,
    training_steps,
)
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_file import validate
from rlaif_jax.config_plan import PlanConfig
from rlaif_jax.config_training import DpoConfig, RewardConfig, SftConfig
from rlaif_jax.files import write_json
from rlaif_jax.planning.estimate import Estimate, Step, estimate
from rlaif_jax.planning.topology import Topology, tpu_topology
from rlaif_jax.provenance import write_run_info
from rlaif_jax.sampling.engine import num_rows
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.typing import Json

_GIB, _MIB, _TERA, _GIGA, _HOUR = 2**30, 2**20, 1e12, 1e9, 3600.0


_Planned = SftConfig | DpoConfig | RewardConfig | SampleConfig


def run(config: PlanConfig, out: Path, console: Console) -> Json:
    """Compiles every step of the planned verb, and tells what each takes."""
    planned = validate(config_of(config.planned), config.run)
    assert isinstance(planned, _Planned)
    topology = tpu_topology(config.topology, config.slices)
    mesh = build_mesh(planned.mesh, topology.devices)
    found: list[Estimate] = []
    with jax.set_mesh(mesh):
        for step in _steps(planned, config, mesh):
            console.say(f"compiling {step.name} for {topology.name}")
            found.append(estimate(step, topology.chip, mesh.size))
    result = _result(config, topology, found) | {
        "run": _bill(config, planned, found, mesh)
    }
    write_run_info(out, config)
    write_json(out / "plan.json", result)
    return result


def _steps(planned: _Planned, config: PlanConfig, mesh: Mesh) -> Iterator[Step]:
    assumed = Assumed(
        architecture=config.architecture,
        param_dtype=config.param_dtype,
        prompt=config.prompt_tokens,
        completion=config.completion_tokens,
        examples=config.examples,
    )
    if isinstance(planned, SampleConfig):
        return sampling_steps(planned, assumed, mesh)
    return training_steps(planned, assumed, mesh)


def _result(config: PlanConfig, topology: Topology, found: list[Estimate]) -> Json:
    """The first step's figures, then those of all; null where none is known."""
    chips, chip = len(topology.devices), topology.chip
    steps = [one.to_json(chip, chips) for one in found]
    first, fits = found[0], all(one.fits for one in found)
    return {
        "verb": config.planned,
        "topology": topology.name,
        "chips": chips,
        "bytes_per_chip": max(one.bytes_per_chip for one in found),
        "hbm_bytes_per_chip": min(
            [int(chip.memory), *(x.limit for x in found if x.limit)]
        ),
        "fits": fits,
        "flops": first.flops,
        "collective_bytes": sum(first.collective_bytes.values())
        if first.fits
        else None,
        "step_seconds": first.least_seconds if first.fits else None,
        "steps": steps,
    }


def _bill(
    config: PlanConfig, planned: _Planned, found: list[Estimate], mesh: Mesh
) -> Json | None:
    """Hours and price of the whole run, between its two bounds."""
    if config.examples is None or not all(one.fits for one in found):
        return None
    times = _times(planned, config.examples, mesh)
    hours = [
        sum(seconds(one) * times[one.name] for one in found) / _HOUR
        for seconds in (lambda one: one.least_seconds, lambda one: one.serial_seconds)
    ]
    bill: Json = {"steps": times[found[0].name], "hours": hours}
    if config.usd_per_chip_hour is not None:
        bill["usd"] = [one * mesh.size * config.usd_per_chip_hour for one in hours]
    return bill


def _times(planned: _Planned, examples: int, mesh: Mesh) -> dict[str, int]:
    """How often each step is taken, by its name."""
    if isinstance(planned, SampleConfig):
        return {"decode": -(-examples // num_rows(planned.batch_size, mesh))}
    steps = num_steps(planned, examples)
    runs = len(planned.sweep.learning_rates) if planned.sweep else 1
    # the reference scores the parts of the batches of one pass, once for all rates
    scored = min(steps, -(-examples // planned.batch_size)) * planned.microbatches
    return {"train": steps * runs, "reference": scored}


def show(result: Json, out: Path) -> None:
    """Prints a table, a column a step."""
    chips, steps = result["chips"], result["steps"]
    limit = result["hbm_bytes_per_chip"] / _GIB
    print(f"{result['verb']} on {result['topology']}, {chips} chips of {limit:.4g} GiB")
    columns = [_column(one) for one in steps]
    print(f"  {'':32}" + "".join(f"{one['name']:>14}" for one in steps))
    for label in _labels(columns):
        cells = (column.get(label, "-") for column in columns)
        print(f"  {label:32}" + "".join(f"{cell:>14}" for cell in cells))
    for one in steps:
        for num_bytes, what in one["whole"]:
            print(f"{one['name']}: {num_bytes / _MIB:,.0f} MiB on every chip: {what}")
    if result["run"] is not None:
        print(_told(result["run"]))
    print("it fits" if result["fits"] else "it does not fit: docs/plan.md has remedies")
    print(out / "plan.json")


def _labels(columns: list[dict[str, str]]) -> list[str]:
    """All rows of the table, each behind the one that it follows in its column."""
    labels: list[str] = []
    for column in columns:
        place = 0
        for label in column:
            if label not in labels:
                labels.insert(place, label)
            place = labels.index(label) + 1
    return labels


def _column(one: Json) -> dict[str, str]:
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
        "ms of the network between slices": f"{1e3 * one['network_s']:.1f}",
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
