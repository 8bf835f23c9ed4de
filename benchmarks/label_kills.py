"""Kills `label` at random moments, over and over, and counts what that cost.

    python benchmarks/label_kills.py [--kills 200] [--comparisons 20000] [--seed 0]

A server in a process of its own counts the calls. First `label` runs unbroken; then
again in another folder, where it is killed (SIGKILL) and started again until it is
done. Three of four kills come at a call drawn uniformly from those that are left, a
further draw of a few milliseconds later; the others within start-up, while it reads
its inputs, its ledger and what is sealed.

To hold: no comparison lost or labeled twice; no more calls than needed and, for each
kill, those that were under way; shards, manifest and labels equal byte for byte.

Writes benchmarks/results/label_kills.json, unless another `--name` is given.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "label_arms"))

import verb
from conclusion import conclude, finish, options_of, spread
from inputs import billed_usd, sealed_files, write_config, write_inputs
from local_server import LocalServer, local_server
from server import Behaviour

from rlaif_jax.files import read_records
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.records import Label

IN_STARTUP = 0.25  # of the kills
LATER_S = 0.05  # at most, after the call that a kill waits for
POLL_S = 0.01
BEHAVIOUR = Behaviour(latency_s=0.05, spread=0.8)


@dataclass
class Tally:
    """What the kills met.

    Attributes:
      in_flight: At the server, when each kill came.
      startup_s: From the start to the first call, of each process that lived so long.
      in_startup: Kills before the first call.
    """

    in_flight: list[int] = field(default_factory=list)
    startup_s: list[float] = field(default_factory=list)
    in_startup: int = 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = options_of(__doc__, "label_kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--comparisons", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=64)
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One unbroken run and one of many lives."""
    pairs = write_inputs(folder, options.comparisons, seed=options.seed)
    begun_at = time.monotonic()
    with local_server(BEHAVIOUR) as server:
        finish(start(options, folder, server, "unbroken"))
        needed = server.stats()["requests"]
    unbroken_s = time.monotonic() - begun_at
    begun_at = time.monotonic()
    with local_server(BEHAVIOUR) as server:
        tally = kill_all(options, folder, server, needed)
        finish(start(options, folder, server, "killed"))
        seen = server.stats()
    killed_s = time.monotonic() - begun_at
    return {
        "comparisons": options.comparisons,
        "max_in_flight": options.in_flight,
        "seed": options.seed,
        "cpus": os.cpu_count(),
        "kills": len(tally.in_flight),
        "kills_in_startup": tally.in_startup,
        "seconds": {"unbroken": round(unbroken_s, 1), "killed": round(killed_s, 1)},
        "startup_s": spread(tally.startup_s),
        "in_flight_at_a_kill": spread(tally.in_flight),
        **compared(options, folder, pairs, needed=needed, seen=seen, tally=tally),
    }


def start(
    options: argparse.Namespace, folder: Path, server: LocalServer, out: str
) -> "subprocess.Popen[bytes]":
    """Starts `label`."""
    config = write_config(
        folder,
        server.url,
        critic={"max_in_flight": options.in_flight},
        budget_usd=1000.0,
    )
    return verb.start(config, folder / out)


def kill_all(
    options: argparse.Namespace, folder: Path, server: LocalServer, needed: int
) -> Tally:
    """Starts and kills, until all kills are spent."""
    draw, tally = random.Random(options.seed), Tally()
    for kill in range(options.kills):
        process = start(options, folder, server, "killed")
        seen, begun_at = server.stats()["requests"], time.monotonic()
        if draw.random() < IN_STARTUP:
            longest = tally.startup_s[-1] if tally.startup_s else 1.0
            time.sleep(draw.uniform(0, longest))
        else:
            # the least of as many uniform draws as there are kills left
            left = max(0, needed - seen)
            share = 1.0 - draw.random() ** (1.0 / (options.kills - kill))
            target = seen + 1 + int(share * left)
            wait_until(process, server, seen + 1)
            tally.startup_s.append(time.monotonic() - begun_at)
            wait_until(process, server, target)
            time.sleep(draw.uniform(0, LATER_S))
        process.kill()
        if process.wait() != -signal.SIGKILL:
            break  # it was done before: nothing is left to kill
        stats = server.stats()
        tally.in_flight.append(stats["in_flight"])
        tally.in_startup += stats["requests"] == seen
        print(len(tally.in_flight), stats["requests"], flush=True, file=sys.stderr)
    return tally


def wait_until(
    process: "subprocess.Popen[bytes]", server: LocalServer, requests: int
) -> None:
    """Waits for so many requests at the server, or for the end of the process."""
    while process.poll() is None and server.stats()["requests"] < requests:
        time.sleep(POLL_S)


def compared(
    options: argparse.Namespace,
    folder: Path,
    pairs: list[str],
    *,
    needed: int,
    seen: dict[str, Any],
    tally: Tally,
) -> dict[str, Any]:
    """What the run of many lives cost, and whether all holds that must."""
    killed, unbroken = folder / "killed", folder / "unbroken"
    files = sorted((killed / "labels").glob("*.jsonl"))
    labeled = [one.pair_id for path in files for one in read_records(path, Label)]
    lost_intents = intents_without_result(killed / "ledger.jsonl")
    with Ledger(killed / "ledger.jsonl") as ledger:
        spent_usd = ledger.spent_usd
    bill_usd = billed_usd(seen)
    extra = seen["requests"] - needed
    return {
        "calls": {
            "needed": needed,
            "at_the_server": seen["requests"],
            "extra": extra,
            "under_way_at_kills_by_the_ledger": lost_intents,
            "under_way_at_kills_by_the_server": sum(tally.in_flight),
        },
        "usd": {"billed": round(bill_usd, 6), "counted": round(spent_usd, 6)},
        "lost": len(set(pairs) - set(labeled)),
        "duplicated": len(labeled) - len(set(labeled)),
        "holds": {
            "nothing_lost_or_duplicated": labeled == pairs,
            "no_more_calls_than_were_under_way": 0 <= extra <= lost_intents,
            "no_more_than_max_in_flight_a_kill": lost_intents
            <= options.in_flight * len(tally.in_flight),
            "no_bill_above_what_the_ledger_counts": bill_usd <= spent_usd + 1e-9,
            "equal_bytes": sealed_files(killed) == sealed_files(unbroken),
        },
    }


def intents_without_result(path: Path) -> int:
    """Calls of which the ledger knows no end."""
    balance = 0
    with path.open("rb") as file:
        for line in file:
            record = json.loads(line)
            balance += 1 if record["kind"] == "intent" else -record["attempts"]
    return balance


if __name__ == "__main__":
    conclude(measure, arguments())
