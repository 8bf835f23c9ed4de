"""Tests of `rlaif_jax.runtime.platform`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from rlaif_jax.runtime import platform

ROOT = Path(__file__).parents[2]
CHANGED = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_debug_nans",
)


@pytest.fixture(autouse=True)
def settings_are_put_back():
    before = {name: getattr(jax.config, name) for name in CHANGED}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_are_kept_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    platform.configure(debug=False)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.5
    assert not jax.config.jax_debug_nans


def test_without_a_wish_they_are_kept_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    platform.configure(debug=False)
    wanted = str(tmp_path / ".cache" / "rlaif_jax" / "xla")
    assert jax.config.jax_compilation_cache_dir == wanted


def test_debug_adds_its_flag_once_and_keeps_the_users(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp/x")
    platform.configure(debug=True)
    platform.configure(debug=True)
    flags = os.environ["XLA_FLAGS"].split()
    assert flags == ["--xla_dump_to=/tmp/x", "--xla_gpu_deterministic_ops=true"]


DEBUG = """
from rlaif_jax.runtime import platform
platform.configure(debug=True)
import jax.numpy as jnp
try:
    jnp.log(jnp.float32(-1.0))
except FloatingPointError:
    print("stopped")
"""


def test_debug_stops_at_the_first_nan():
    done = subprocess.run(
        [sys.executable, "-c", DEBUG], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.endswith("stopped\n"), done.stderr


def test_this_machine_is_described():
    facts = platform.describe()
    assert facts["platform"] == "cpu"
    assert facts["devices"] == facts["local_devices"] == 8
    assert facts["processes"] == 1
    assert facts["host_bytes"] > 2**30


def test_xla_knows_the_flags_of_the_docs():
    text = (ROOT / "docs" / "gpu.md").read_text()
    flags = re.findall(r"^\| `(--xla_gpu_[^`]*)` \|", text, re.MULTILINE)
    assert len(flags) > 5
    ask = [sys.executable, "-c", "import jax; jax.devices()"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}

    def asked(*flags):
        return subprocess.run(
            ask,
            env=environment | {"XLA_FLAGS": " ".join(flags)},
            capture_output=True,
            check=False,
        )

    assert asked(*flags).returncode == 0
    assert b"Unknown flag" in asked(*flags, "--xla_gpu_no_such_flag=1").stderr


@pytest.mark.parametrize(
    ("kind", "processes", "steps"),
    [("cpu", 1, 2), ("cpu", 4, 1), ("tpu", 1, 2), ("tpu", 64, 2), ("gpu", 2, 2)],
)
def test_hosts_run_ahead_of_their_devices_where_that_is_safe(
    kind, processes, steps, monkeypatch
):
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    assert platform.steps_in_flight(kind) == steps
