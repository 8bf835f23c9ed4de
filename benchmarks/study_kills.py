"""Kills a study of ten arms at random moments, over and over, and counts the calls.

    python benchmarks/study_kills.py [--kills 20] [--workers 2] [--seed 0]

The lab's models run in this process, which counts what reaches them. First the study
runs unbroken; then again in another folder, where it is killed with all its workers
(SIGKILL) and started again until it is done. Base models are trained anew for each.

To hold: `results.json` equal but for times; no more calls than needed and those that
were under way at a kill, which the ledgers know as intents without a result.

Writes benchmarks/results/study_kills.json, unless another `--name` is given.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "label_arms"))

from aiohttp import web
from conclusion import conclude
from label_kills import intents_without_result, spread

from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.lab.server import build_app
from rlaif_jax.lab.variants import variant_named
from rlaif_jax.lab.world import WorldSizes, write_world
from rlaif_jax.study.config import QuickstartConfig

SIZES = WorldSizes(
    train_prompts=200, validation_prompts=20, test_prompts=40, corpus_documents=2000
)
LATENCY_S = 0.02
TIMES = ("seconds", "device_s", "command", "report")  # what may differ in results.json


class Counter:
    """The lab, and how often it was asked.

    Attributes:
      calls: Questions that arrived.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator["Counter"]:
        """Serves from a thread inside the block."""
        loop, ready = asyncio.new_event_loop(), threading.Event()

        @web.middleware
        async def count(request: web.Request, handler: Any) -> web.StreamResponse:
            self.calls += request.method == "POST" and request.path != "/score"
            return await handler(request)

        async def start() -> None:
            app = build_app(variant_named("default"), latency_s=LATENCY_S)
            app.middlewares.append(count)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()

        def serve() -> None:
            loop.run_until_complete(start())
            loop.run_forever()

        threading.Thread(target=serve, daemon=True).start()
        ready.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)


def main() -> None:
    """Runs both, compares them and writes what was found."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        document = measure(options, Path(name))
    conclude(document, options.name)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="study_kills", help="empty: write nothing")
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One unbroken run and one of many lives."""
    write_world(folder / "world", sizes=SIZES)
    begun_at = time.monotonic()
    with Counter().serving() as needed:
        finish(start(options, folder, needed.url, "unbroken"))
    unbroken_s = time.monotonic() - begun_at
    begun_at = time.monotonic()
    with Counter().serving() as seen:
        lives = kill_all(options, folder, seen.url, unbroken_s)
        finish(start(options, folder, seen.url, "killed"))
    killed_s = time.monotonic() - begun_at
    ledgers = sorted((folder / "killed").rglob("ledger.jsonl"))
    under_way = sum(intents_without_result(path) for path in ledgers)
    extra = seen.calls - needed.calls
    results = [told(folder / name / "results.json") for name in ("unbroken", "killed")]
    return {
        "arms": len(results[0]["study"]["arms"]),
        "workers": options.workers,
        "kills": len(lives),
        "seconds": {"unbroken": round(unbroken_s, 1), "killed": round(killed_s, 1)},
        "life_s": spread(lives),
        "calls": {
            "needed": needed.calls,
            "at_the_server": seen.calls,
            "extra": extra,
            "under_way_at_kills_by_the_ledgers": under_way,
        },
        "holds": {
            "all_kills_came_before_the_end": len(lives) == options.kills,
            "results_equal_but_for_times": results[0] == results[1],
            "no_more_calls_than_were_under_way": 0 <= extra <= under_way,
        },
    }


def study_config(options: argparse.Namespace, folder: Path, url: str) -> Path:
    """Ten arms on 120 prompts, of every kind that there is."""
    shrunk = QuickstartConfig(seeds=(0,), workers=options.workers)
    document = study_document(shrunk, world=folder / "world", url=url)
    document["prompts"]["limit"] = 120
    document["prompts"]["fractions"] = {"sft": 0.3, "aif": 0.7}
    document["base"]["pretrain"]["max_steps"] = 30
    document["sft"] |= {"batch_size": 8, "epochs": 2}
    document["dpo"] |= {"batch_size": 8, "epochs": 2, "checkpoint": {"every_steps": 5}}
    arms: dict[str, Any] = {"base": {}}
    for name in ("weak", "strong"):
        ten = {"teacher": name, "sft_splits": ["sft"]}
        judged = ten | {"critic": "strong", "aif_splits": ["aif"]}
        arms |= {
            f"{name}, all": {"teacher": name, "sft_splits": ["sft", "aif"]},
            f"{name}, some": ten,
            f"{name}, judged": judged,
            f"{name}, its own pairs": judged | {"pairs": "student_student"},
        }
    arms["weak, pairs of strong"] = {
        "teacher": "weak",
        "sft_splits": ["sft"],
        "pairs_of": "strong, judged",
    }
    document |= {"arms": arms, "claims": {}, "headline": None}
    path = folder / "study.json"  # JSON is YAML
    path.write_text(json.dumps(document))
    return path


def start(
    options: argparse.Namespace, folder: Path, url: str, out: str
) -> "subprocess.Popen[bytes]":
    """Starts the study in a group of its own, so that workers die with it."""
    config = study_config(options, folder, url)
    command = ["-m", "rlaif_jax", "study", str(config), "--out", str(folder / out)]
    env = os.environ | {"RLAIF_JAX_CACHE": str(folder / f"cache-{out}")}
    return subprocess.Popen(
        [sys.executable, *command],
        env=env | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[bytes]") -> None:
    """Waits for the end, which must be a good one."""
    if code := process.wait():
        raise RuntimeError(f"study ended with {code}")


def kill_all(
    options: argparse.Namespace, folder: Path, url: str, unbroken_s: float
) -> list[float]:
    """Starts and kills, until all kills are spent; the seconds of each life."""
    draw, lives = random.Random(options.seed), []
    for _ in range(options.kills):
        process = start(options, folder, url, "killed")
        begun_at = time.monotonic()
        life_s = draw.uniform(0.0, 2.5 * unbroken_s / options.kills)
        try:
            process.wait(life_s)
            break  # it was done before: nothing is left to kill
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        lives.append(time.monotonic() - begun_at)
        print(len(lives), round(lives[-1], 1), flush=True, file=sys.stderr)
    return lives


def told(path: Path) -> Any:
    """What a results.json says, without times."""
    return _timeless(json.loads(path.read_text()))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
