"""The result of a plan: what `plan.json` holds."""

import math

from rlaif_jax.commands.plan_case import Case
from rlaif_jax.commands.workload import num_steps
from rlaif_jax.config import SampleConfig
from rlaif_jax.planning.estimate import Estimate
from rlaif_jax.planning.modelled import MARGINS
from rlaif_jax.sampling.engine import num_rows
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.typing import Json

_HOUR = 3600.0


def result_of(case: Case, found: list[Estimate]) -> Json:
    """The first step's figures, then those of all; null where none is known.

    Args:
      case: The run.
      found: What its steps take.
    """
    topology = case.topology
    chips, chip = len(topology.devices), topology.chip
    first, fits = found[0], all(one.fits for one in found)
    limits = [int(topology.memory), *(one.limit for one in found if one.limit)]
    sent = sum(first.collective_bytes.values())
    return {
        "verb": case.config.planned,
        "topology": topology.name,
        "chips": chips,
        "by": first.by,
        "margin": MARGINS[topology.platform] if first.by == "model" else 0.0,
        "bytes_per_chip": max(one.bytes_per_chip for one in found),
        "hbm_bytes_per_chip": min(limits),
        "fits": fits,
        "flops": first.flops,
        "collective_bytes": sent if first.fits else None,
        "step_seconds": first.least_seconds if first.fits else None,
        "steps": [one.to_json(chip, chips) for one in found],
        "run": _bill(case, found),
    }


def _bill(case: Case, found: list[Estimate]) -> Json | None:
    """Hours and price of the whole run, between its two bounds."""
    examples, price = case.config.examples, case.config.usd_per_chip_hour
    if examples is None or not all(one.fits for one in found):
        return None
    times = step_counts(case, examples)
    hours = [
        sum(seconds(one) * times[one.name] for one in found) / _HOUR
        for seconds in (lambda one: one.least_seconds, lambda one: one.serial_seconds)
    ]
    bill: Json = {"steps": times[found[0].name], "hours": hours}
    if price is not None:
        bill["usd"] = [one * len(case.topology.devices) * price for one in hours]
    return bill


def step_counts(case: Case, examples: int) -> dict[str, int]:
    """How often each step is taken, by its name."""
    run = case.run
    if isinstance(run, SampleConfig):
        mesh = build_mesh(run.mesh, case.topology.devices)
        return {"decode": math.ceil(examples / num_rows(run.batch_size, mesh))}
    steps = num_steps(run, examples)
    runs = len(run.sweep.learning_rates) if run.sweep else 1
    # the reference scores the parts of the batches of one pass, once for all rates
    scored = min(steps, math.ceil(examples / run.batch_size)) * run.microbatches
    return {"train": steps * runs, "reference": scored}
