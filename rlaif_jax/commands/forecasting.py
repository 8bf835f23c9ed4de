"""`study dry_run=true`: the graph, the calls, the price and the device time, before."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console as Terminal
from rich.table import Table

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.expecting import Expected, endpoints_of, roles_of
from rlaif_jax.commands.operations import Operations
from rlaif_jax.commands.piloting import run_pilot
from rlaif_jax.commands.stages import Stages
from rlaif_jax.labeling.budget import endpoint_prices
from rlaif_jax.study.bill import Spend
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages, stages_with_arms
from rlaif_jax.study.stage import Stage
from rlaif_jax.study.wording import duration, usd
from rlaif_jax.typing import Json


def expect(
    config: StudyConfig,
    arms: Sequence[ArmStages],
    stages: Stages,
    out: Path,
    console: Console,
) -> Expected:
    """What every stage will ask; prompts are read and split first, which is free.

    Raises:
      RefusedError: If a price is unknown.
    """
    for role in set(roles_of(config, arms).values()):
        for endpoint in endpoints_of(config, role):
            endpoint_prices(endpoint, None)
    read = [one for arm in arms for one in arm.all() if one.verb == "prompts"]
    stages.run(read, workers=1, console=console)
    pilot = run_pilot(config, arms, stages, out, console)
    return Expected(config, arms, stages, pilot)


def forecast(
    config: StudyConfig,
    arms: Sequence[ArmStages],
    stages: Stages,
    expected: Expected,
) -> Json:
    """Every stage once, with what it takes; sums by role, of all and what is left."""
    operations = Operations(config, arms, expected)
    used = stages_with_arms(arms)
    rows = [
        _row(stage, names, stages, expected, operations)
        for stage, names in used.values()
    ]
    folders = {stage.digest: stage.folder for stage, _ in used.values()}
    for row in rows:
        row["needs"] = sorted(folders[digest] for digest in row["needs"])
    speed = config.forecast.flops_per_s
    flops = [row["flops"] for row in rows if not row["done"]]
    known = None if None in flops else sum(flops)
    return {
        "dry_run": True,
        "stages": rows,
        "roles": {
            role: _sum(row for row in rows if row["role"] == role)
            | {"answers": answers.source}
            for role, answers in sorted(expected.answers.items())
        },
        "total": _sum(rows),
        "left": _sum(row for row in rows if not row["done"]),
        "flops_left": known,
        "device_seconds_left": known / speed if speed and known is not None else None,
        "flops_per_s": speed,
    }


def _row(
    stage: Stage,
    arms: list[str],
    stages: Stages,
    expected: Expected,
    operations: Operations,
) -> Json:
    """One stage."""
    role = expected.role(stage)
    spend = expected.spend(stage) if role is not None else Spend()
    return {
        "stage": stage.folder,
        "verb": stage.verb,
        "title": stage.title,
        "needs": sorted(stage.needs),
        "arms": arms,
        "done": stages.result(stage) is not None,
        "role": role,
        **spend.model_dump(),
        "flops": operations.flops(stage),
    }


def _sum(rows: Iterable[Json]) -> Json:
    parts = [Spend(**{name: row[name] for name in Spend.model_fields}) for row in rows]
    return sum(parts, Spend()).model_dump()


def show_forecast(result: Json) -> None:
    """Prints the graph, who is asked what, and the sums."""
    terminal = Terminal()
    table = Table("", "stage", "reads", "calls", "price", box=box.SIMPLE_HEAD)
    for row in result["stages"]:
        mark = "done" if row["done"] else ""
        calls = f"{row['calls']:,}" if row["role"] else ""
        price = usd(row["cost_usd"]) if row["role"] else ""
        title = f"{row['stage']}: {row['title']}"
        table.add_row(mark, title, "\n".join(row["needs"]), calls, price)
    terminal.print(table)
    table = Table(
        "",
        "calls",
        "tokens in",
        "tokens out",
        "price",
        "answers as long as in",
        box=box.SIMPLE_HEAD,
    )
    sums = {**result["roles"], "in all": result["total"], "left": result["left"]}
    for name, row in sums.items():
        table.add_row(
            name,
            f"{row['calls']:,}",
            f"{row['prompt_tokens']:,}",
            f"{row['completion_tokens']:,}",
            usd(row["cost_usd"]),
            row.get("answers", ""),
        )
    terminal.print(table)
    print(_device_line(result))
    print("dry run: nothing was trained")


def _device_line(result: Json) -> str:
    """What is left for the devices."""
    flops, seconds = result["flops_left"], result["device_seconds_left"]
    if flops is None:
        return "device time: unknown, as a base model's folder is not here yet"
    if seconds is None:
        return f"device time: {flops:.3g} FLOPs; with forecast.flops_per_s, seconds too"
    return (
        f"device time: {flops:.3g} FLOPs, {duration(seconds)} at"
        f" {result['flops_per_s']:.3g} FLOP/s of all devices together"
    )
