"""`study`: every arm under every seed, each stage once, and the report."""

import os
import time
from pathlib import Path

from rich.console import Console as Terminal

from rlaif_jax.commands.budgeting import within_budget
from rlaif_jax.commands.collect import collect_results, study_index
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.embedding import served
from rlaif_jax.commands.forecasting import expect, forecast, show_forecast
from rlaif_jax.commands.stages import Stages
from rlaif_jax.files import read_json, write_json
from rlaif_jax.provenance import write_run_info
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph
from rlaif_jax.study.judges import self_judged, self_judged_warning
from rlaif_jax.study.report import write_report
from rlaif_jax.study.results_file import read_results
from rlaif_jax.study.table import results_table
from rlaif_jax.typing import Json

_SPENT = "seconds.json"  # wall time of earlier, interrupted calls


def run(config: StudyConfig, out: Path, console: Console) -> Json:
    """Runs what is not done yet, then writes results.json, figures and report."""
    write_run_info(out, config)
    with served(config, console) as here:
        return _run(here, out, console)


def _run(config: StudyConfig, out: Path, console: Console) -> Json:
    """The study itself, or what it would take."""
    started = time.monotonic()
    before = _seconds_before(out)
    if names := self_judged(config):
        console.say(f"warning: {self_judged_warning(names)}")
    stages = Stages(out / "stages", cache_folder() / "stages")
    stages.require_valid([s for arm in build_graph(config) for s in arm.all()])
    config = within_budget(config, stages, out, console)
    arms = build_graph(config)
    if config.dry_run:
        expected = expect(config, arms, stages, out, console)
        return forecast(config, arms, stages, expected)
    every = [stage for arm in arms for stage in arm.all()]
    every.sort(key=lambda stage: not stage.cached)  # base models take longest: first
    try:
        stages.run(every, workers=config.workers, console=console)
    finally:
        seconds = before + time.monotonic() - started
        write_json(out / _SPENT, {"seconds": seconds})
    write_json(out / "study.json", study_index(arms, stages, out))
    console.say("drawing the report")
    results = collect_results(config, arms, stages, seconds=seconds)
    return write_report(results, out).summaries[""]


def show(result: Json, out: Path) -> None:
    """Prints the table of arms, the claims, and where the report is; or the dry run."""
    if "dry_run" in result:
        show_forecast(result)
        return
    Terminal().print(results_table(read_results(out / "results.json")))
    for name, verdict in result["claims"].items():
        print(f"claim ({name}): {verdict}")
    print(f"report: {result['report']}")


def cache_folder() -> Path:
    """Where stages that studies share are kept: $RLAIF_JAX_CACHE, or in the home."""
    chosen = os.environ.get("RLAIF_JAX_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "rlaif_jax"


def _seconds_before(out: Path) -> float:
    path = out / _SPENT
    return float(read_json(path, "time spent")["seconds"]) if path.is_file() else 0.0
