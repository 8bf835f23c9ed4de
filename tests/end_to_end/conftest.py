"""The command line in processes of its own, and a small world to run it on."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import pytest
from aiohttp import web

from rlaif_jax.checkpoint import store
from rlaif_jax.lab.server import build_app
from rlaif_jax.lab.variants import variant_named
from rlaif_jax.lab.world import WorldSizes, write_world

ROOT = Path(__file__).parents[2]
SIZES = WorldSizes(
    train_prompts=60, validation_prompts=10, test_prompts=20, corpus_documents=100
)
OPTIMIZER = {"name": "adamw", "learning_rate": 1e-3, "max_grad_norm": 1}


class CommandLine:
    """Starts `rlaif-jax`; configs are JSON files, which are YAML too."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._processes: list[subprocess.Popen] = []

    def config(self, document: dict) -> Path:
        path = self._folder / f"config_{time.monotonic_ns()}.yaml"
        path.write_text(json.dumps(document))
        return path

    def start(self, verb, document, out, *, devices=1, **environment):
        """The process, its output in `.log`."""
        arguments = [verb, str(self.config(document)), "--out", str(out)]
        return self.start_raw(arguments, devices=devices, **environment)

    def start_raw(self, arguments, *, devices=1, **environment):
        log = self._folder / f"log_{time.monotonic_ns()}.txt"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "rlaif_jax", *map(str, arguments)],
                cwd=ROOT,
                env=os.environ | variables(devices) | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        process.log = log
        self._processes.append(process)
        return process

    def run(self, verb, document, out, *, devices=1):
        """Runs to the end, which must be a good one."""
        process = self.start(verb, document, out, devices=devices)
        assert process.wait(timeout=300) == 0, process.log.read_text()
        return Path(out)

    def stop_all(self):
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


class LocalPod:
    """A verb on several processes, through `launch/local_pod.sh`.

    Attributes:
      launcher: The script's process.
      logs: A folder with the output of each process; process 0's is in `.output`.
    """

    def __init__(self, arguments, *, num_processes, logs, **environment):
        logs.mkdir(parents=True)
        self.logs, self._count = logs, num_processes
        self._log = logs / "launcher.log"
        script = ["bash", str(ROOT / "launch" / "local_pod.sh"), str(num_processes)]
        with self._log.open("wb") as file:
            self.launcher = subprocess.Popen(
                [*script, *map(str, arguments)],
                cwd=ROOT,
                env=os.environ
                | variables(1)
                | {"PYTHON": sys.executable, "LOGS": str(logs), "GRACE_S": "60"}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def poll(self):
        return self.launcher.poll()

    @property
    def log(self):
        return self._log

    def signal(self, number, process):
        """Sends a signal to one of the processes."""
        path = Path(f"/proc/{self.launcher.pid}/task/{self.launcher.pid}/children")
        wanted = f"RLAIF_PROCESS_ID={process}".encode()
        for child in path.read_text().split():
            if wanted in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                os.kill(int(child), number)
                return
        raise AssertionError(f"process {process} is not there: {self.output(0)}")

    def output(self, process):
        """What one of the processes has said."""
        return (
            self._log if process == 0 else self.logs / f"process-{process}.log"
        ).read_text()

    def codes(self, *, timeout_s=240):
        """The exit code of each process, in their order, once all have ended."""
        self.launcher.wait(timeout=timeout_s)
        if self.launcher.returncode == 0:
            return [0] * self._count
        told = re.findall(r"process (\d+) ended with exit code (\d+)", self.output(0))
        codes = {int(process): int(code) for process, code in told}
        return [codes[process] for process in range(self._count)]

    def kill(self):
        if self.poll() is None:
            os.killpg(self.launcher.pid, signal.SIGKILL)
            self.launcher.wait()


def variables(devices: int) -> dict[str, str]:
    flags = os.environ["XLA_FLAGS"].replace("count=8", f"count={devices}")
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "NPROC": "16"}


@dataclass
class Lab:
    """The lab's server, with a count of what reached it.

    Attributes:
      num_requests: Chat requests that arrived.
      most_in_flight: At one time.
      latency_s: Added to each.
      held_after: Requests beyond this number wait; None lets all pass.
    """

    url: str = ""
    num_requests: int = 0
    most_in_flight: int = 0
    latency_s: float = 0.0
    held_after: int | None = None
    _in_flight: int = 0
    _started: threading.Event = field(default_factory=threading.Event)

    def serve(self, ended: threading.Event) -> None:
        asyncio.run(self._serve(ended))

    def wait(self) -> None:
        assert self._started.wait(timeout=30)

    async def _serve(self, ended: threading.Event) -> None:
        app = build_app(variant_named("default"))

        @web.middleware
        async def counted(request, handler):
            return await self._counted(request, handler)

        app.middlewares.append(counted)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        while not ended.is_set():
            await asyncio.sleep(0.05)
        await runner.cleanup()

    async def _counted(self, request, handler):
        self.num_requests += 1
        number = self.num_requests
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            while self.held_after is not None and number > self.held_after:
                await asyncio.sleep(0.02)
            return await handler(request)
        finally:
            self._in_flight -= 1


@dataclass(frozen=True)
class Study:
    """One of everything that later stages start from.

    Attributes:
      world: The lab's files.
      prompts: Of splits sft and aif, 60 together.
      weak: Completions of the weak teacher.
      strong: Of the strong one.
      base: A model folder.
      labels: Finished preferences.
      lab: The server.
    """

    world: Path
    prompts: Path
    weak: Path
    strong: Path
    base: Path
    labels: Path
    lab: Lab

    def endpoint(self, model, **changes):
        return {
            "api": "openai",
            "base_url": f"{self.lab.url}/v1",
            "identity": "lab",
            "model": model,
            "max_tokens": 32,
            "usd_per_million_input_tokens": 1,
            "usd_per_million_output_tokens": 2,
        } | changes

    def label(self, **critic):
        return {
            "prompts": str(self.prompts),
            "splits": ["aif"],
            "first": str(self.weak),
            "second": str(self.strong),
            "critic": self.endpoint("lab-critic-strong", **critic),
            "comparisons_per_shard": 8,
        }

    def sft(self, **changes):
        return {
            "model": {
                "preset": "lab-tiny",
                "tokenizer": str(self.world / "tokenizer"),
            },
            "prompts": str(self.prompts),
            "splits": ["sft", "aif"],
            "completions": str(self.strong),
            "tokens": {"max_prompt_tokens": 12, "max_completion_tokens": 12},
            "optimizer": OPTIMIZER,
            "batch_size": 8,
            "epochs": 2,
        } | changes

    def dpo(self, **changes):
        return {
            "model": {"path": str(self.base)},
            "preferences": str(self.labels),
            "tokens": {"max_prompt_tokens": 12, "max_completion_tokens": 12},
            "optimizer": OPTIMIZER,
            "loss": {"beta": 0.5},
            "batch_size": 8,
            "epochs": 2,
        } | changes


@pytest.fixture(scope="session")
def rlaif(tmp_path_factory):
    command_line = CommandLine(tmp_path_factory.mktemp("runs"))
    yield command_line
    command_line.stop_all()


@pytest.fixture(scope="session")
def pods(rlaif, tmp_path_factory):
    """Starts a verb on four processes, or on so many."""
    started = []

    def start(verb, document, out, *, num_processes=4, **environment):
        logs = tmp_path_factory.mktemp("pod") / "logs"
        arguments = [verb, rlaif.config(document), "--out", out]
        pod = LocalPod(arguments, num_processes=num_processes, logs=logs, **environment)
        started.append(pod)
        return pod

    yield start
    for pod in started:
        pod.kill()


@pytest.fixture(scope="session")
def pod_sft(pods, study, tmp_path_factory):
    """SFT on four processes that nobody disturbed: its config and its folder."""
    document = study.sft(
        epochs=4,  # 30 steps
        rows={"layout": "padded"},  # one shape: one compilation
        checkpoint={"every_steps": 5},
        pod={"heartbeat_s": 6, "start_s": 120},
    )
    out = tmp_path_factory.mktemp("pod_sft") / "out"
    pod = pods("sft", document, out)
    assert pod.codes() == [0] * 4, pod.output(0)
    return document, out


@pytest.fixture(scope="session")
def served():
    lab, ended = Lab(), threading.Event()
    thread = threading.Thread(target=lab.serve, args=(ended,), daemon=True)
    thread.start()
    lab.wait()
    yield lab
    ended.set()
    thread.join(timeout=10)


@pytest.fixture
def lab(served):
    served.num_requests = served.most_in_flight = 0
    yield served
    served.latency_s, served.held_after = 0.0, None


@pytest.fixture(scope="session")
def study(rlaif, served, tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_world(root / "world", sizes=SIZES)
    one = Study(
        world=root / "world",
        prompts=root / "prompts" / "prompts.jsonl",
        weak=root / "weak" / "completions.jsonl",
        strong=root / "strong" / "completions.jsonl",
        base=root / "base",
        labels=root / "labels",
        lab=served,
    )
    source = {"format": "jsonl", "path": str(one.world / "prompts.jsonl")}
    fractions = {"sft": 0.2, "aif": 0.8}
    rlaif.run("prompts", {"source": source, "fractions": fractions}, root / "prompts")
    for name in ("weak", "strong"):
        teacher = one.endpoint(f"lab-teacher-{name}")
        document = {"prompts": str(one.prompts), "teacher": teacher, "generator": name}
        rlaif.run("complete", document, root / name)
    rlaif.run("label", one.label(), one.labels)
    rlaif.run("sft", one.sft(), one.base)
    return one


@pytest.fixture(scope="session")
def dpo_alone(rlaif, study, tmp_path_factory):
    """DPO in one process on one device, as `study.base` is for SFT."""
    return rlaif.run("dpo", study.dpo(), tmp_path_factory.mktemp("alone") / "dpo")


@pytest.fixture
def losses():
    def read(out):
        lines = (Path(out) / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    return read


@pytest.fixture
def assert_same_end():
    """Compares the metrics and the weights of two runs, bit by bit."""

    def compare(one, other):
        first, second = ((run / "metrics.jsonl").read_bytes() for run in (one, other))
        assert first == second
        ours, theirs = (
            store.restore_params(store.open_folder(run)) for run in (one, other)
        )
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)

    return compare


@pytest.fixture
def wait_until():
    """Waits for a condition, or for the end of a process."""

    def wait(condition, process, *, every_s=0.002, timeout_s=120):
        deadline = time.monotonic() + timeout_s
        while not condition() and process.poll() is None:
            assert time.monotonic() < deadline, process.log.read_text()
            time.sleep(every_s)

    return wait
