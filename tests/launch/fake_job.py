"""Stands in for a training process: does what PLAN says for this worker and attempt.

PLAN is a JSON file {"SLICE.WORKER" or "*": [[action, ...] of the first attempt, ...]};
the last attempt is repeated. What it was started with is kept beside it, a line each.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path


def stop(number, frame):
    """As training does: saves, and says so."""
    print("saved", flush=True)
    sys.exit(75)


def main(arguments):
    plan = Path(os.environ["PLAN"])
    worker = f"{os.environ['RLAIF_SLICE']}.{os.environ['TPU_WORKER_ID']}"
    attempts = json.loads(plan.read_text())
    attempts = attempts.get(worker, attempts.get("*"))
    started = plan.with_name(f"started-{worker}.jsonl")
    attempt = len(started.read_text().splitlines()) if started.exists() else 0
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    facts = {"arguments": arguments, "environment": dict(os.environ), "files": files}
    signal.signal(signal.SIGTERM, stop)  # before anybody knows that it runs
    with started.open("a") as file:
        file.write(json.dumps(facts) + "\n")
    print(f"attempt {attempt} of worker {worker}", flush=True)
    for action in attempts[min(attempt, len(attempts) - 1)]:
        act(*action.split(), out=Path(arguments[-1]))


def act(what, value="", *, out):
    if what == "exit":
        sys.exit(int(value))
    elif what == "save":
        (out / "checkpoints" / value).mkdir(parents=True, exist_ok=True)
        (out / "checkpoints" / value / "integrity.json").touch()
    elif what == "preempt":
        subprocess.run(["gcloud", "fake", "preempt", value], check=True)
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "wait":  # for a file, or for ever
        while not (value and Path(value).exists()):
            time.sleep(0.02)
    else:
        raise ValueError(what)


main(sys.argv[3:])  # after -m rlaif_jax
