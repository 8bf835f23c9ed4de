"""How fast, and in how much memory, `label` asks: beside bare loops and other tools.

    python benchmarks/label.py throughput [--alpaca PYTHON] [--distilabel PYTHON]
    python benchmarks/label.py memory

Throughput: a server in a process of its own answers after 50 ms, or after a second; 64,
256 or 1024 calls at a time ask it about comparisons of some 2 KB in both orders. Ours
is the verb itself: ledger, budget, limits, sealed shards in the order of the input. The
bare loops are an official SDK and a semaphore, and keep nothing; the options name the
interpreters of environments with AlpacaEval and distilabel. Every arm has a process of
its own, one runs at a time, and the arms take turns; what is slow by far (the SDKs'
default transport, other tools) runs in the first round alone, and the tools on fewer
comparisons. The steady rate is that between 30 % and 90 % of the calls: without the
start, and without the last ones. Where processors are shared with other work, the
processor time of a call tells more than the rate. The share of a processor that the
server used says whether it held anybody back.

Memory: the pipeline labels ever more comparisons, which are made as they are asked
for, with a chat model in the same process that answers at once.

Writes benchmarks/results/label.json and label.png, or label_memory.json, unless another
`--name` is given.
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

sys.path.insert(0, str(Path(__file__).parent / "label_arms"))

from inputs import write_config, write_inputs, write_items
from label_plot import draw
from local_server import local_server
from server import Behaviour

ARMS_DIR = Path(__file__).parent / "label_arms"
RESULTS = Path(__file__).parent / "results"
OURS = {"ours, openai": "openai", "ours, anthropic": "anthropic"}
BARE = ("openai aiohttp", "openai default", "anthropic aiohttp", "anthropic default")
EVERY_ROUND = (*OURS, "openai aiohttp", "anthropic aiohttp")
PEERS = {"AlpacaEval": "alpaca", "distilabel": "distilabel"}
SCRIPTS = {"AlpacaEval": "with_alpaca_eval", "distilabel": "with_distilabel"}
FEWER = {"AlpacaEval": 10, "distilabel": 2}  # fold comparisons
LATENCIES_S, IN_FLIGHT = (0.05, 1.0), (64, 256, 1024)
MOST_PER_S = 1500.0  # calls, that any arm may reach on one processor
MEMORY_STEPS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
TIMEOUT_S = 900.0  # of one process


def main() -> None:
    """Runs what the command line names, and writes what it gave."""
    options = arguments()
    load, measured = os.getloadavg()[0], options.measure(options)
    document = {
        "cpus": os.cpu_count(),
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],  # of all processes
        **measured,
    }
    print(json.dumps(document, indent=1))
    if options.name:
        path = RESULTS / f"{options.name}.json"
        path.write_text(json.dumps(document, indent=1) + "\n")
        if "races" in document:
            draw(document["races"], path.with_suffix(".png"))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(required=True)
    race = what.add_parser("throughput")
    race.set_defaults(measure=throughput)
    for peer in PEERS.values():
        race.add_argument(f"--{peer}", help="a Python with it")
    race.add_argument("--rounds", type=int, default=2)
    race.add_argument("--seconds", type=float, default=3.0, help="of a run, about")
    race.add_argument("--latencies", type=float, nargs="+", default=LATENCIES_S)
    race.add_argument("--in-flight", type=int, nargs="+", default=IN_FLIGHT)
    race.add_argument("--arms", nargs="+", help="only these")
    race.add_argument("--name", default="label", help="of the files; empty: none")
    memory = what.add_parser("memory")
    memory.set_defaults(measure=memory_growth)
    memory.add_argument("--steps", type=int, nargs="+", default=MEMORY_STEPS)
    memory.add_argument("--name", default="label_memory", help="empty: no file")
    return parser.parse_args()


def throughput(options: argparse.Namespace) -> dict[str, Any]:
    """All arms at every latency and number of calls at a time."""
    arms = [*OURS, *BARE, *(arm for arm, name in PEERS.items() if vars(options)[name])]
    arms = [arm for arm in arms if arm in (options.arms or arms)]
    races = []
    for latency_s in options.latencies:
        for in_flight in options.in_flight:
            rate = min(in_flight / latency_s, MOST_PER_S)
            number = max(in_flight, int(rate * options.seconds / 2))  # two calls each
            runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
            for number_of_round in range(options.rounds):
                for arm in arms:
                    if number_of_round and arm not in EVERY_ROUND:
                        continue
                    least = max(in_flight, number // FEWER.get(arm, 1))
                    runs[arm].append(run(arm, options, latency_s, in_flight, least))
                    print(latency_s, in_flight, arm, runs[arm][-1], flush=True)
            races.append(
                {
                    "latency_s": latency_s,
                    "in_flight": in_flight,
                    "comparisons": number,
                    "arms": {arm: row(arm, runs) for arm in arms},
                }
            )
    return {"rounds": options.rounds, "races": races}


def run(
    arm: str,
    options: argparse.Namespace,
    latency_s: float,
    in_flight: int,
    number: int,
) -> dict[str, Any]:
    """One arm in a process of its own; what it told, or why it told nothing."""
    python = vars(options)[PEERS[arm]] if arm in PEERS else sys.executable
    script = SCRIPTS.get(arm, "ours" if arm in OURS else "bare")
    behaviour = Behaviour(latency_s=latency_s, biased=0.0)
    with tempfile.TemporaryDirectory() as name, local_server(behaviour) as server:
        folder = Path(name)
        if script == "ours":
            write_inputs(folder, number)
            write_config(folder, server.url, critic={}, budget_usd=1000.0)
        else:
            write_items(folder, number)
        command = [python, str(ARMS_DIR / f"{script}.py"), str(folder), server.url]
        before = server.stats()
        try:
            done = subprocess.run(
                [*command, str(in_flight), OURS.get(arm, arm)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {TIMEOUT_S:g} s"}
        after = server.stats()
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"failed": done.stderr[-2000:]}
    told = json.loads(lines[-1])
    return told | {
        "server_share": round((after["cpu_s"] - before["cpu_s"]) / told["seconds"], 2),
        "most_in_flight": after["most_in_flight"],
    }


def row(arm: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The median of an arm's rounds, and how it stands to the bare loop it is like."""
    mine = runs[arm]
    if failed := [one["failed"] for one in mine if "failed" in one]:
        return {"failed": failed}
    found: dict[str, Any] = {
        name: statistics.median(one[name] for one in mine) for name in mine[0]
    }
    found["all_steady"] = [one["steady_calls_per_second"] for one in mine]
    api = "openai" if arm in PEERS else OURS.get(arm, arm).partition(" ")[0]
    bare = runs.get(f"{api} aiohttp")
    if bare and not any("failed" in one for one in bare):
        for name in ("steady_calls_per_second", "cpu_ms_a_call"):
            ratios = [a[name] / b[name] for a, b in zip(mine, bare, strict=False)]
            found[f"{name}_over_bare"] = round(statistics.median(ratios), 3)
    return found


def memory_growth(options: argparse.Namespace) -> dict[str, Any]:
    """The memory of one process that labels more and more."""
    command = [sys.executable, str(ARMS_DIR / "memory.py"), *map(str, options.steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
