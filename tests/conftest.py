"""Runs the suite on 8 simulated CPU devices, with shapes checked at every call."""

import os
import socket
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# unoptimized kernels compile in two thirds of the time, and tests' shapes are small
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",
)
os.environ.setdefault("NPROC", "16")  # fewer threads than devices can deadlock
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import pytest
from jaxtyping import install_import_hook

install_import_hook("rlaif_jax", typechecker="beartype.beartype")


@pytest.fixture
def started_pod():
    """Starts a program as two processes of two devices each; gives both."""
    processes = []

    def start(program, arguments):
        processes.extend(start_pod(program, arguments))
        return processes

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def local_pod(started_pod):
    """Runs such a program to its end; gives both results."""

    def run(program, arguments):
        return [ended(process) for process in started_pod(program, arguments)]

    return run


def start_pod(program, arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            # JAX survives SIGTERM alone
            ["timeout", "-k", "2", "120", sys.executable, "-c", program]
            + [str(argument) for argument in arguments],
            cwd=Path(__file__).parents[1],
            env=os.environ
            | {
                "XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", "count=2"),
                "RLAIF_COORDINATOR": f"127.0.0.1:{port}",
                "RLAIF_NUM_PROCESSES": "2",
                "RLAIF_PROCESS_ID": str(index),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def ended(process):
    stdout, stderr = process.communicate()
    # Gloo tells on stdout what it is connected to
    own = [line for line in stdout.splitlines(True) if not line.startswith("[Gloo]")]
    return subprocess.CompletedProcess(
        process.args, process.returncode, "".join(own), stderr
    )
