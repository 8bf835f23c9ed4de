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
from rlaif_jax.errors import DivergedError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.provenance import write_run_info
from rlaif_jax.runtime import distributed
from rlaif_jax.runtime.device_time import device_seconds
from rlaif_jax.typing import Json

ConfigT = TypeVar("ConfigT", bound=TrainingConfig)

_TOLD = ("by", "score", "step", "epoch", "num_candidates")


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
      The best run's result, and the table of all as `sweep`; a run whose loss was not
      finite is in it without a score. `device_seconds` are of all runs.

    Raises:
      DivergedError: If no run came to its end.
    """
    results: dict[str, Json] = {}
    rows: list[Json] = []
    failure: DivergedError | None = None
    for rate, single in _singles(config):
        name = rate_name(rate)
        console.say(f"sweep: learning rate {rate:g}")
        try:
            results[name] = run(single, out / name, console)
        except DivergedError as error:
            failure = error
            console.say(f"learning rate {rate:g} diverged: {error}")
        chosen = results.get(name, {}).get("selected", {})
        told = {key: chosen.get(key) for key in _TOLD}
        rows.append({"learning_rate": rate, "folder": name, **told})
    if failure is not None and not results:
        raise failure
    sweep = _compared(rows)
    if distributed.is_main():
        write_run_info(out, config)
        write_json(out / SWEEP, sweep)
    spent = {"device_seconds": sum(device_seconds(out / r["folder"]) for r in rows)}
    return results[sweep["best"]["folder"]] | spent | {"sweep": sweep}


def best_run(folder: Path) -> Path:
    """The folder of a sweep's best run; a folder without a sweep is that itself."""
    path = folder / SWEEP
    if not path.is_file():
        return folder
    return folder / read_json(path, "result of a sweep")["best"]["folder"]


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
        rate = f"{row['learning_rate']:g}"
        if row["score"] is None:
            table.add_row(rate, "", "", "", "diverged")
            continue
        mark = "best" if row == best else ""
        cells = (rate, str(row["step"]), str(row["epoch"]))
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
    ended = [row for row in rows if row["score"] is not None]
    choose = min if ended[0]["by"] == "loss" else max
    return {
        "best": choose(ended, key=lambda row: row["score"]),
        "chosen_on": "validation",
        "num_candidates": sum(row["num_candidates"] for row in ended),
        "runs": rows,
    }
