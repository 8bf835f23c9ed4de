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

import numpy as np
import pytest
from jaxtyping import install_import_hook
from scipy.special import ndtri

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
    # Gloo tells on stdout what it is connected to, and its threads' lines may mix
    lines = stdout.splitlines(True)
    own = [line for line in lines if line.strip() and not line.startswith("[Gloo]")]
    return subprocess.CompletedProcess(
        process.args, process.returncode, "".join(own), stderr
    )


@pytest.fixture(scope="session")
def simulated_studies():
    return simulate


def simulate(wins, *, seeds, prompts, studies=2000, **model):
    """Outcomes of arms in {0, 1/2, 1}: arms, studies, seeds, prompts.

    A normal draw for each prompt, in part shared by seeds and arms, wins where it lies
    below a bound; the bounds make `wins` the truth over all prompts and all seeds.
    """
    model = {
        "spread": 0.0,
        "alike": 0.0,
        "shared": 0.3,
        "own": 0.2,
        "draws": 0.1,
    } | model
    shared, own, alike = model["shared"], model["own"], model["alike"]
    random = np.random.default_rng(model.get("random", 0))

    def normal(*shape):
        return random.standard_normal(shape, dtype=np.float32)

    wins = np.asarray(wins)[:, None, None]
    arms = len(wins)
    moved = alike**0.5 * normal(1, studies, seeds)
    moved = moved + (1 - alike) ** 0.5 * normal(arms, studies, seeds)
    room = 0.999 * np.minimum(wins, 1 - wins)
    spread = np.broadcast_to(model["spread"], arms)[:, None, None]
    chance = wins + np.clip(spread * moved, -room, room)
    half = np.minimum(model["draws"] / 2, np.minimum(chance, 1 - chance))
    drawn = np.float32((1 - shared - own) ** 0.5) * normal(
        arms, studies, seeds, prompts
    )
    drawn += np.float32(own**0.5) * normal(arms, studies, 1, prompts)
    drawn += np.float32(shared**0.5) * normal(1, studies, 1, prompts)
    bounds = [ndtri(chance + x).astype(np.float32)[..., None] for x in (half, -half)]
    return sum(0.5 * (drawn < bound) for bound in bounds)
