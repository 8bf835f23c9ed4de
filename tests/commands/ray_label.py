"""Labels on a Ray cluster of three nodes, one of them killed: a process of its own.

Prints one JSON document of what the runs returned and what their server has seen.
"""

import os

os.environ |= {  # read when ray is imported: loopback only, and silent
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_raylet_start_wait_time_s": "120",  # of a machine that has other work
}

import asyncio
import contextlib
import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

from ray.cluster_utils import Cluster

from rlaif_jax import log
from rlaif_jax.commands import label
from rlaif_jax.commands.console import Console
from rlaif_jax.config import LabelConfig
from rlaif_jax.config_file import validate
from rlaif_jax.errors import CommandError
from rlaif_jax.files import write_records
from rlaif_jax.labeling.ray_cluster import connected
from rlaif_jax.records import Completion, Message, Prompt

HERE = Path(__file__)
STORE_BYTES = 80 * 2**20
KEY = "sk-planted-9f8e7d6c"


def write_input(folder, number):
    """Prompts and two completions of each; the critic prefers the ones with good."""
    prompts = [
        Prompt.create((Message(role="user", content=f"question {n}"),), source="test")
        for n in range(number)
    ]
    write_records(folder / "prompts.jsonl", prompts)
    for name, is_good in (("first", True), ("second", False)):
        completions = [
            Completion.create(
                prompt.prompt_id,
                "good" if (n % 3 > 0) == is_good else "bad",
                generator=name,
            )
            for n, prompt in enumerate(prompts)
        ]
        write_records(folder / f"{name}.jsonl", completions)


def document(folder, server, **fields):
    critic = {
        "api": "openai",
        "base_url": server.openai_url,
        "model": "judge-1",
        "api_key_env": "RAY_TEST_KEY",
        "max_tokens": 16,
        "max_in_flight": 24,
        "usd_per_million_input_tokens": 1,
        "usd_per_million_output_tokens": 1,
    }
    return {
        "prompts": str(folder / "prompts.jsonl"),
        "first": str(folder / "first.jsonl"),
        "second": str(folder / "second.jsonl"),
        "comparisons_per_shard": 75,
        "critic": critic,
    } | fields


def run(out, fields):
    """What the command returns, or its error."""
    try:
        return label.run(validate(LabelConfig, fields), out, Console(quiet=True))
    except CommandError as error:
        return {"error": type(error).__name__, "message": str(error)}


def seen(server):
    """What the server has been asked."""
    questions = Counter(json.dumps(one["messages"]) for one in server.requests)
    return {
        "questions": len(questions),
        "calls": questions.total(),
        "max_in_flight": server.max_in_flight,
    }


@contextlib.contextmanager
def serving(latency_s):
    """The chat server of the labeling tests, in a thread."""
    place = HERE.parents[1] / "labeling" / "server.py"
    spec = importlib.util.spec_from_file_location("chat_server", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.ChatServer()
    server.latency_s = latency_s
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ended = asyncio.Event()

    async def serve():
        async with server.running():
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@contextlib.contextmanager
def bucket(port):
    """A bucket of an S3-compatible server, in a process of its own."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        url = f"http://127.0.0.1:{port}/labels"
        request = urllib.request.Request(url, method="PUT")
        urllib.request.urlopen(request).close()
        yield "s3://labels/run"
    finally:
        process.kill()
        process.wait()


def workers(node, name):
    """The processes of a node that run something of that name."""
    pid = node.all_processes["raylet"][0].process.pid
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if name in Path(f"/proc/{child}/cmdline").read_text():
                found.append(int(child))
    return found


def askers(storage):
    """The processes that have calls under way and many to come, by their logs."""
    found = []
    for path in storage.glob("ledger/*/*/*.jsonl"):
        kinds = Counter(one["kind"] for one in logged(path))
        if kinds["intent"] > kinds["result"] and 0 < kinds["result"] < 40:
            found.append(next(logged(path))["pid"])
    return found


def logged(path):
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def lose(cluster, nodes, server, told, storage):
    """Kills a node that has calls under way, then the governor's process."""
    victim = None
    while victim is None and "result" not in told:
        time.sleep(0.02)
        pids = set(askers(storage))
        at_work = (n for n in nodes if pids & {*workers(n, "_run_task")})
        victim = next(at_work, None)
    if victim is None:
        return
    told["calls_at_node_kill"] = len(server.requests)
    processes = workers(victim, "_run_task")  # else they outlive the raylet a little
    for pid in (victim.all_processes["raylet"][0].process.pid, *processes):
        os.kill(pid, signal.SIGKILL)
    cluster.remove_node(victim, allow_graceful=False)
    while len(server.requests) < told["calls_at_node_kill"] + 60:
        time.sleep(0.02)
        if "result" in told:
            return
    governors = workers(cluster.head_node, "_GovernorActor")
    told["governors_killed"] = len(governors)
    for pid in governors:
        os.kill(pid, signal.SIGKILL)


def lose_a_node(folder, cluster, nodes):
    """A run that loses a node half-way, and one without Ray."""
    write_input(folder, 300)
    with serving(latency_s=0.2) as server:
        ray = {"address": cluster.address, "storage": str(folder / "storage")}
        fields = document(folder, server, budget_usd=1.0)
        told = {}
        killer = threading.Thread(
            target=lose,
            args=(cluster, nodes, server, told, folder / "storage"),
            daemon=True,
        )
        killer.start()
        told["result"] = run(folder / "ray", fields | {"engine": "ray", "ray": ray})
        assert "error" not in told["result"], told["result"]
        killer.join()
        told["server"] = seen(server)
        server.latency_s = 0.0
        return told | {"local": run(folder / "local", fields)}


def run_out_of_money(folder, cluster, port):
    """A run on a bucket that reaches its budget, and goes on with a larger one."""
    write_input(folder, 60)  # in blocks of 20
    with serving(latency_s=0.02) as server, bucket(port) as storage:
        ray = {"address": cluster.address, "storage": storage}
        fields = document(
            folder, server, engine="ray", ray=ray, comparisons_per_shard=20
        )
        with connected(cluster.address):  # an existing connection is used
            stopped = run(folder / "ray", fields | {"budget_usd": 0.006})
            first = seen(server)
            result = run(folder / "ray", fields | {"budget_usd": 1.0})
        return {
            "stopped": stopped,
            "first": first,
            "result": result,
            "server": seen(server),
        }


def main(folder):
    """Runs both on one cluster."""
    log.configure()
    quick = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 1000,
        "health_check_failure_threshold": 5,
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {  # which every node inherits
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "RAY_TEST_KEY": KEY,
    }
    common = {
        "num_cpus": 1,
        "object_store_memory": STORE_BYTES,
        "node_ip_address": "127.0.0.1",
    }
    head = common | {"include_dashboard": False, "_system_config": quick}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(**common) for _ in range(2)]
        session = Path(cluster.head_node.get_session_dir_path())
        told = {}
        for name, work in (
            ("lost", lambda one: lose_a_node(one, cluster, nodes)),
            ("bucket", lambda one: run_out_of_money(one, cluster, port)),
        ):
            (folder / name).mkdir()
            begun_at = time.monotonic()
            told[name] = work(folder / name)
            told[name]["seconds"] = time.monotonic() - begun_at
    finally:
        cluster.shutdown()
    told["session"] = str(session)
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
