"""Runs that differ in their learning rate, and the best of them on validation."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from rich.console import Console as Terminal
from rich.table import Table

from rlaif_jax.checkpoint.folder import SWEEP
from rlaif_jax.commands.console import Console
from rlaif_jax.config_training import TrainingConfig
from rlaif_jax.config_validation import rate_name
from rlaif_jax.files import write_json
from rlaif_jax.provenance import write_run_info
from rlaif_jax.runtime import distributed
from rlaif_jax.typing import Json

ConfigT = TypeVar("ConfigT", bound=TrainingConfig)


def run_sweep(
    config: ConfigT,
    out: Path,
    console: Console,
    run: Callable[[ConfigT, Path, Console], Json],
) -> Json:
    """Trains once for each rate, each in a folder of its own, and tells the best.

    Runs that are done are not run again, and one that was stopped goes on. They share
    what is known of the reference.

    Args:
      config: With the rates, and with what selects.
      out: Holds the folders `lr-RATE`, then `sweep.json`.
      console: Told which run begins.
      run: Trains one.

    Returns:
      The best run's result, and the table of all as `sweep`.
    """
    results: dict[str, Json] = {}
    rows: list[Json] = []
    for rate, single in _singles(config):
        name = rate_name(rate)
        console.say(f"sweep: learning rate {rate:g}")
        results[name] = result = run(single, out / name, console)
        chosen = result["selected"]
        rows.append(
            {
                "learning_rate": rate,
                "folder": name,
                "by": chosen["by"],
                "score": chosen["score"],
                "step": chosen["step"],
                "epoch": chosen["epoch"],
                "num_candidates": chosen["num_candidates"],
            }
        )
    sweep = _compared(rows)
    if distributed.is_main():
        write_run_info(out, config)
        write_json(out / SWEEP, sweep)
    return results[sweep["best"]["folder"]] | {"sweep": sweep}


def show_sweep(result: Json, out: Path) -> None:
    """Prints a line for each rate, the best one marked; nothing if there was one run.

    Args:
      result: Of a verb that may sweep.
      out: Its folder.
    """
    if "sweep" not in result:
        return
    sweep = result["sweep"]
    best = sweep["best"]
    table = Table("learning rate", "best step", "epoch", f"validation {best['by']}", "")
    for row in sweep["runs"]:
        mark = "best" if row == best else ""
        cells = (f"{row['learning_rate']:g}", str(row["step"]), str(row["epoch"]))
        table.add_row(*cells, f"{row['score']:.4f}", mark)
    Terminal().print(table)
    print(f"{sweep['num_candidates']} candidates; the model is {out / best['folder']}")


def _singles(config: ConfigT) -> Iterator[tuple[float, ConfigT]]:
    """Each rate, and the run with it."""
    assert config.sweep is not None  # the caller has looked
    for rate in config.sweep.learning_rates:
        optimizer = config.optimizer.model_copy(update={"learning_rate": rate})
        changes = {"sweep": None, "optimizer": optimizer}
        yield rate, config.model_copy(update=changes)


def _compared(rows: list[Json]) -> Json:
    """The runs with the best of them: the first of equals."""
    choose = min if rows[0]["by"] == "loss" else max
    return {
        "best": choose(rows, key=lambda row: row["score"]),
        "chosen_on": "validation",
        "num_candidates": sum(row["num_candidates"] for row in rows),
        "runs": rows,
    }
