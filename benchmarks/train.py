"""How fast SFT and DPO train beside a step by hand, TRL, Tunix and EasyDeL.

    python benchmarks/train.py DATA [--trl PYTHON] [--tunix PYTHON] [--easydel PYTHON]

DATA is a folder of AlpacaEval annotation files (`*.annotations.json.gz`); the options
name the interpreters of environments in which these libraries are. All arms train a
Llama of 4 layers, 256 wide, with 8,192 words, from the same weights, on the same ids in
the same batches, with AdamW at a constant rate. Two sets of shapes:

* full: SFT of 8 rows of 512 tokens; DPO of 8 pairs of 256 + 256 + 256.
* real: AlpacaEval's instructions with the outputs of several models, cut at 256 tokens
  each; 16 pairs or 32 examples a step. An epoch is cut into as many parts as there are
  rounds, and every arm trains all of them, each from the first weights.

Every arm has a process of its own, one runs at a time, and the arms take turns. What
compiles, and what a reference costs that is computed beforehand, is told apart. Ours
counts all that `sft` and `dpo` do from ids to lines of metrics.

Writes benchmarks/results/train.json and train.png. `--races dpo-real` and `--arms` run
a part of it, and write nothing unless `--name` gives the files another name.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "train_arms"))

from plot import draw
from prepare import prepare

RESULTS = Path(__file__).parent / "results"
ARMS_DIR = Path(__file__).parent / "train_arms"
RACES = ("sft-full", "dpo-full", "sft-real", "dpo-real")
OURS = "packed"
PEERS = {"TRL": "trl", "Tunix": "tunix", "EasyDeL": "easydel"}
VARIANTS = ("packed, dense attention", "padded")  # of ours, in one race
TIMEOUT_S = 600.0  # of one process
SAME, COMPARED = 1e-4, 4  # losses, and steps of them that are compared
ANOTHER_MEAN = "over the tokens of a batch, not over examples; TRL packs other batches"
# Seconds a step on an idle machine of 2 cores, from earlier measurements of each alone
# (of TRL with a cached reference, of Tunix and EasyDeL with it in the step).
KNOWN_S = {
    "sft-full": {"by hand": 1.13, "TRL": 2.09, "Tunix": 1.29, "EasyDeL": 1.30},
    "dpo-full": {"by hand": 2.08, "TRL": 4.27, "Tunix": 3.12, "EasyDeL": 2.72},
}


def main() -> None:
    """Runs all races and writes what they gave."""
    options, load = arguments(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        counts = prepare(options.data, Path(folder), options)
        races = {race: {arm: [] for arm in arms(race, options)} for race in RACES}
        races = {r: found for r, found in races.items() if r in options.races}
        for part in range(options.rounds):
            for race, found in races.items():
                for arm, runs in found.items():
                    runs.append(run(race, arm, part, Path(folder), options))
                    told = {k: v for k, v in runs[-1].items() if k != "losses"}
                    print(part, race, arm, json.dumps(told), flush=True)
    document = {
        "cpus": os.cpu_count(),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
        "malloc": os.environ.get("GLIBC_TUNABLES"),
        "rounds": options.rounds,
        "items": counts,
        "races": {race: table(race, found) for race, found in races.items()},
    }
    print(json.dumps(document["races"], indent=1))
    if options.name:
        text = json.dumps(document, indent=1) + "\n"
        (RESULTS / f"{options.name}.json").write_text(text)
        draw(document["races"], RESULTS / f"{options.name}.png")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    for peer in PEERS.values():
        parser.add_argument(f"--{peer}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=4, help="of real lengths a part")
    parser.add_argument("--full-batches", type=int, default=4, help="full ones a part")
    parser.add_argument("--races", nargs="+", choices=RACES, default=list(RACES))
    parser.add_argument("--arms", nargs="+", help="only these")
    parser.add_argument("--name", help="of the files that are written")
    options = parser.parse_args()
    if not options.arms and set(options.races) == set(RACES):
        options.name = options.name or "train"
    return options


def arms(race: str, options: argparse.Namespace) -> list[str]:
    """The arms of a race, ours first."""
    found = [OURS, "by hand"]
    found += [peer for peer, name in PEERS.items() if getattr(options, name)]
    if race == "dpo-real":
        found += VARIANTS
    return [arm for arm in found if arm in (options.arms or found)]


def run(
    race: str, arm: str, part: int, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """One arm in a process of its own; what it told, or why it told nothing."""
    python, script = sys.executable, "bare" if arm == "by hand" else "ours"
    if arm in PEERS:
        python, script = getattr(options, PEERS[arm]), f"with_{PEERS[arm]}"
    command = [python, str(ARMS_DIR / f"{script}.py"), str(folder)]
    command += [*race.split("-"), str(part), arm]
    try:
        done = subprocess.run(
            command,
            env=os.environ
            | {
                "JAX_PLATFORMS": "cpu",
                "HF_HUB_OFFLINE": "1",
                # of this race alone: its first round tells what compiling takes
                "JAX_COMPILATION_CACHE_DIR": str(folder / "xla" / race / arm),
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {TIMEOUT_S} s"}
    if done.returncode:
        return {"failed": done.stderr[-2000:]}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1])


def table(race: str, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Each arm's rates, and how ours stands to it, round by round."""
    rows = {}
    ours = found.get(OURS, [])
    for arm, runs in found.items():
        if any("failed" in one for one in runs):
            rows[arm] = {"failed": [one.get("failed") for one in runs]}
            continue
        rates = [one["items_per_second"] for one in runs]
        ratios = [
            mine["items_per_second"] / rate
            for mine, rate in zip(ours, rates, strict=False)
            if "failed" not in mine
        ]
        rows[arm] = {k: v for k, v in runs[0].items() if k not in ("losses", "seconds")}
        rows[arm] |= {
            "items_per_second": [round(rate, 2) for rate in rates],
            "median": round(statistics.median(rates), 2),
            "packed_over_this": [round(ratio, 2) for ratio in ratios],
            "median_ratio": round(statistics.median(ratios), 2) if ratios else None,
            "seconds": [one["seconds"] for one in runs],
            "losses": [round(loss, 5) for loss in runs[0]["losses"][:COMPARED]],
            "loss_difference": ANOTHER_MEAN
            if race == "sft-real" and arm in PEERS
            else difference(runs, ours),
        }
        solo = KNOWN_S.get(race, {}).get(arm)
        if solo:
            rows[arm]["seconds_a_step"] = [round(8 / rate, 3) for rate in rates]
            rows[arm]["known_alone"] = solo
    return rows


def difference(
    runs: list[dict[str, Any]], ours: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The largest between losses of the same steps, ours and the arm's."""
    compared = [
        abs(a - b)
        for mine, other in zip(ours, runs, strict=False)
        for a, b in zip(
            mine.get("losses", [])[:COMPARED], other["losses"], strict=False
        )
    ]
    if not compared:
        return None
    return {"highest": float(f"{max(compared):.2g}"), "same": max(compared) < SAME}


if __name__ == "__main__":
    main()
