"""Labels on a local Ray cluster of which a node is killed, and in one process.

    python benchmarks/ray_label.py [COMPARISONS]

The critic is a server process of its own that answers after 50 ms and counts what it is
asked. Writes benchmarks/results/ray_label.json: whether both runs sealed the same
bytes, which questions were asked twice, the most calls at a time and a minute, what was
spent, and the CPU time of a comparison.
"""

import os

os.environ |= {  # read when ray is imported: loopback only, and silent
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

import asyncio
import contextlib
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

from aiohttp import web

from rlaif_jax import log
from rlaif_jax.commands import label
from rlaif_jax.commands.console import Console
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.files import write_records
from rlaif_jax.labeling.attempts import read_attempts
from rlaif_jax.labeling.objects import FolderObjects
from rlaif_jax.records import Completion, Message, Prompt

RESULTS = Path(__file__).parent / "results" / "ray_label.json"
LATENCY_S = 0.05
TOKENS = {"prompt_tokens": 100, "completion_tokens": 4, "total_tokens": 104}
MAX_IN_FLIGHT = 96
REQUESTS_PER_MINUTE = 60_000
SHARD = 1000
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A critic that takes its time, and remembers every call."""

    def __init__(self) -> None:
        self.questions: Counter[bytes] = Counter()
        self.seconds: Counter[int] = Counter()
        self.under_way = self.most = 0

    async def answer(self, request: web.Request) -> web.Response:
        """A verdict that depends on the question alone."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.seconds[int(time.monotonic())] += 1
        try:
            messages = (await request.json())["messages"]
            digest = hashlib.sha256(json.dumps(messages).encode()).digest()
            self.questions[digest] += 1
            await asyncio.sleep(LATENCY_S)
        finally:
            self.under_way -= 1
        text = "Output (a)" if digest[0] % 2 else "Output (b)"
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "object": "chat.completion", "created": 1}
        answer |= {"model": "judge", "choices": [choice], "usage": TOKENS}
        return web.json_response(answer)

    async def figures(self, request: web.Request) -> web.Response:
        """What was asked so far; with ?reset=1, for the last time."""
        first, last = min(self.seconds, default=0), max(self.seconds, default=0)
        windows = (
            sum(self.seconds[second] for second in range(start, start + 60))
            for start in range(first, last + 1)
        )
        told = {
            "calls": self.questions.total(),
            "questions": len(self.questions),
            "most_at_a_time": self.most,
            "most_in_a_minute": max(windows, default=0),
            "most_in_a_second": max(self.seconds.values(), default=0),
        }
        if request.query.get("reset"):
            self.__init__()
        return web.json_response(told)


def serve() -> None:
    """Serves on a free port, which it prints."""

    async def run() -> None:
        server = Server()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server.answer)
        app.router.add_get("/figures", server.figures)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


def figures(port: int, *, reset: bool = False) -> dict[str, int]:
    """What the server has seen."""
    url = f"http://127.0.0.1:{port}/figures{'?reset=1' if reset else ''}"
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def write_input(folder: Path, number: int) -> None:
    """Prompts of about 1 KB and two completions of about 1 KB each."""
    words = "why is the sky blue at noon and red at dusk " * 22
    prompts = [
        Prompt.create((Message(role="user", content=f"{n}: {words}"),), source="bench")
        for n in range(number)
    ]
    write_records(folder / "prompts.jsonl", prompts)
    for name in ("first", "second"):
        texts = (
            Completion.create(p.prompt_id, f"{name}: {words}", generator=name)
            for p in prompts
        )
        write_records(folder / f"{name}.jsonl", texts)


def document(folder: Path, port: int, number: int) -> dict[str, object]:
    """The run's config."""
    critic = {
        "api": "openai",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "model": "judge",
        "max_tokens": 16,
        "max_in_flight": MAX_IN_FLIGHT,
        "requests_per_minute": REQUESTS_PER_MINUTE,
        "usd_per_million_input_tokens": 1,
        "usd_per_million_output_tokens": 1,
    }
    return {
        "prompts": str(folder / "prompts.jsonl"),
        "first": str(folder / "first.jsonl"),
        "second": str(folder / "second.jsonl"),
        "comparisons_per_shard": SHARD,
        "critic": critic,
        "budget_usd": round(number * 2 * 104e-6 * 1.25, 6),
    }


class CpuTimes:
    """The CPU seconds of every process of the nodes, as last seen."""

    def __init__(self) -> None:
        self.by_process: dict[int, float] = {}
        self.tasks: set[int] = set()  # processes that ever ran one

    def look(self, node: object) -> None:
        """Notes how far the processes of a node are."""
        raylet = node.all_processes["raylet"][0].process.pid
        children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
        for process in (raylet, *map(int, children)):
            with contextlib.suppress(OSError):
                self.by_process[process] = _cpu_s(process)
                if "_run_task" in Path(f"/proc/{process}/cmdline").read_text():
                    self.tasks.add(process)

    def totals(self) -> dict[str, float]:
        """Of processes that ran tasks, and of Ray's others below a raylet."""
        tasks = sum(self.by_process[process] for process in self.tasks)
        return {"tasks": tasks, "raylets": sum(self.by_process.values()) - tasks}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def own_cpu_s() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def asking(storage: Path) -> set[int]:
    """The processes that have calls under way, by what their logs say."""
    found: set[int] = set()
    for path in storage.glob("ledger/*/*/*.jsonl"):
        content = path.read_bytes()
        counts = [
            content.count(b'{"kind":"%s"' % kind) for kind in (b"intent", b"result")
        ]
        if counts[0] > counts[1] > 0 and b'{"kind":"end"' not in content[-100:]:
            found.add(json.loads(content.splitlines()[0])["pid"])
    return found


class Watcher(threading.Thread):
    """Kills a node at work half-way, and keeps the last CPU times of every node."""

    def __init__(self, cluster: object, nodes: list[object], port: int, calls: int):
        super().__init__(daemon=True)
        self.cluster, self.nodes, self.port, self.calls = cluster, nodes, port, calls
        self.storage: Path | None = None
        self.killed_at_calls: int | None = None
        self.cpu = CpuTimes()
        self.ended = threading.Event()

    def run(self) -> None:
        """Until it is ended."""
        alive = dict(enumerate(self.nodes))
        while not self.ended.wait(0.5):
            for node in alive.values():
                with contextlib.suppress(OSError):
                    self.cpu.look(node)
            done = figures(self.port)["calls"]
            if self.killed_at_calls is None and done >= self.calls:
                self.kill_one(alive, done)

    def kill_one(self, alive: dict[int, object], done: int) -> None:
        """Kills a node other than the head, if one has calls under way."""
        at_work = asking(self.storage)
        for number in (1, 2):
            raylet = alive[number].all_processes["raylet"][0].process.pid
            children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text()
            if at_work & {*map(int, children.split())}:
                self.killed_at_calls = done
                self.cluster.remove_node(alive.pop(number), allow_graceful=False)
                return


def run_on_ray(folder: Path, fields: dict, port: int, number: int) -> dict:
    """The run on three nodes, one of which is killed."""
    from ray.cluster_utils import Cluster

    common = {"num_cpus": 1, "object_store_memory": 200 * 2**20}
    common |= {"node_ip_address": "127.0.0.1"}
    cluster = Cluster(
        initialize_head=True, head_node_args=common | {"include_dashboard": False}
    )
    nodes = [cluster.head_node, *(cluster.add_node(**common) for _ in range(2))]
    ray = {"address": cluster.address, "storage": str(folder / "storage")}
    ray["blocks_in_flight"] = 6
    watcher = Watcher(cluster, nodes, port, number)  # half of two calls each
    watcher.storage = folder / "storage"
    watcher.start()
    begun_at, cpu_s = time.monotonic(), own_cpu_s()
    result = label.run(
        validate(LabelConfig, fields | {"engine": "ray", "ray": ray}),
        folder / "ray",
        Console(),
    )
    seconds, cpu_s = time.monotonic() - begun_at, own_cpu_s() - cpu_s
    watcher.ended.set()
    watcher.join()
    cluster.shutdown()
    return {
        "result": result,
        "seconds": seconds,
        "node_killed_after_calls": watcher.killed_at_calls,
        "cpu_s": {"driver": cpu_s} | watcher.cpu.totals(),
    }


def lost_calls(folder: Path) -> int:
    """Calls that were under way when their node was lost, by its logs."""
    objects = FolderObjects(folder / "storage")
    blocks = len(list((folder / "storage" / "ledger").iterdir()))
    attempts = [one for block in range(blocks) for one in read_attempts(objects, block)]
    lost = [attempt for attempt in attempts if not attempt.is_ended]
    return sum(2 * one.num_calls - len(one.records) for one in lost)


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two run folders hold the same shards, labels and manifest."""

    def files(folder: Path) -> dict[str, bytes]:
        found = [*folder.glob("*.parquet"), *folder.glob("labels/*")]
        return {p.name: p.read_bytes() for p in [*found, folder / "manifest.jsonl"]}

    return files(one) == files(other)


def main(number: int) -> None:
    """Runs both, and writes what came of them."""
    log.configure()
    folder = Path(tempfile.mkdtemp())
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(server.stdout.readline())
        write_input(folder, number)
        fields = document(folder, port, number)
        told = {"comparisons": number, "config": fields | {"latency_s": LATENCY_S}}
        told["cores"], told["load_before"] = os.cpu_count(), os.getloadavg()
        told["ray"] = run_on_ray(folder, fields, port, number)
        told["ray"]["server"] = figures(port, reset=True)
        begun_at, cpu_s = time.monotonic(), own_cpu_s()
        local = label.run(validate(LabelConfig, fields), folder / "local", Console())
        told["local"] = {
            "result": local,
            "seconds": time.monotonic() - begun_at,
            "cpu_s": own_cpu_s() - cpu_s,
            "server": figures(port),
        }
        told["load_after"] = os.getloadavg()
        seen = told["ray"]["server"]
        told["checks"] = {
            "same_bytes": same_bytes(folder / "ray", folder / "local"),
            "repeated_calls": seen["calls"] - seen["questions"],
            "under_way_on_the_lost_node": lost_calls(folder),
            "spent_usd_at_server": seen["calls"] * 104e-6,
            "budget_usd": fields["budget_usd"],
        }
        for name in ("prompts", "first", "second"):
            del told["config"][name]
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")
        print(json.dumps(told["checks"], indent=1))
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 50_000)
