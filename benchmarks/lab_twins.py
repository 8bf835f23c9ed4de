"""The lab's twins of the paper's figures: what each takes, and what came of it.

    python benchmarks/lab_twins.py [NAME ...] [--out=runs/twins]

Runs the studies of configs/study/lab one after the other, each as a user would, and
keeps their minutes, bills, win rates and verdicts in benchmarks/results/lab_twins.json.
A study that is done is not run again, and keeps the minutes that it took. The base
models that one has trained serve those after it; about half an hour on two cores.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "lab_twins.json"
NAMES = [
    "figure_1",
    "figure_3",
    "table_1",
    "figure_2",
    "figure_5",
    "figure_4",
    "figure_7",
]


def main() -> None:
    """Runs what is named, or all; prints the table of docs/study.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "twins")
    asked = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in asked.names:
        folder = asked.out / name
        is_done = (folder / "results.json").is_file()
        started = time.monotonic()
        config = ROOT / "configs" / "study" / "lab" / f"{name}.yaml"
        study = [sys.executable, "-m", "rlaif_jax", "study", str(config)]
        subprocess.run([*study, "--out", str(folder)], check=True)
        minutes = (time.monotonic() - started) / 60
        if is_done and name in found:
            minutes = found[name]["minutes"]
        found[name] = {"minutes": round(minutes, 1), **told(folder)}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


def told(folder: Path) -> dict[str, Any]:
    """What a study's results say."""
    results = json.loads((folder / "results.json").read_text())
    arms = results["arms"].values()
    return {
        "seeds": max(arm["seeds"] for arm in arms),
        "cost_usd": round(results["cost_usd"], 2),
        "win_rates": {
            name: round(arm["win_rate"], 1) for name, arm in results["arms"].items()
        },
        "claims": results["claims"],
    }


def table(found: dict[str, Any]) -> str:
    """Markdown, a line a study."""
    lines = [
        "| twin | arms x seeds | minutes | API bill | claims |",
        "|---|---|---|---|---|",
    ]
    for name, one in sorted(found.items()):
        claims = "; ".join(
            f"{key}: {verdict}" for key, verdict in one["claims"].items()
        )
        size = f"{len(one['win_rates'])} x {one['seeds']}"
        bill = f"${one['cost_usd']:.2f}"
        lines.append(f"| `{name}` | {size} | {one['minutes']} | {bill} | {claims} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
