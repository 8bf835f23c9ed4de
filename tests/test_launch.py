"""Tests of `launch/` on this machine; `tests/launch/` has those on fake clouds."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"


def launch(script, *arguments, **environment):
    return subprocess.run(
        ["bash", str(LAUNCH / script), *arguments],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "script",
    ["tpu_create.sh", "tpu_setup.sh", "tpu_run.sh", "tpu_watch.sh", "tpu_delete.sh"],
)
def test_a_missing_setting_is_named_before_anything_happens(script):
    done = launch(script, "sft", TPU_ZONE="x")
    assert done.returncode == 2
    assert "set TPU_NAME first" in done.stderr


def test_a_dry_run_prints_and_runs_nothing():
    pod = launch("local_pod.sh", "3", "sft", "x.yaml", DRY_RUN="1")
    assert pod.stdout.count("-m rlaif_jax sft x.yaml") == 3
    data = launch("debug_data.sh", DRY_RUN="1")
    assert "-m rlaif_jax label" in data.stdout
    gpu = launch("gpu_debug.sh", "dpo", "x.yaml", DRY_RUN="1")
    assert "debug=true" in gpu.stdout


def test_local_pod_ends_with_the_first_bad_exit_code_and_stops_the_others(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/usr/bin/env bash\n"
        '[[ "$RLAIF_PROCESS_ID" == 1 ]] && exit 65\nexec sleep 50\n'
    )
    python.chmod(0o755)
    paths = {"PYTHON": str(python), "LOGS": str(tmp_path)}
    done = launch("local_pod.sh", "2", "sft", GRACE_S="1", **paths)
    assert done.returncode == 65
    assert "process 1 ended with exit code 65" in done.stderr
    assert "process 0 ended with exit code 137" in done.stderr


def test_local_pod_passes_a_preemption_on_and_waits_for_the_processes(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/usr/bin/env bash\n"
        f"trap 'sleep 0.3; touch {tmp_path}/saved$RLAIF_PROCESS_ID; exit 75' TERM\n"
        f"touch {tmp_path}/ready$RLAIF_PROCESS_ID\nwhile :; do sleep 0.05; done\n"
    )
    python.chmod(0o755)
    pod = subprocess.Popen(
        ["bash", str(LAUNCH / "local_pod.sh"), "2", "sft"],
        env={"PATH": os.environ["PATH"], "PYTHON": str(python), "LOGS": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not all((tmp_path / f"ready{i}").exists() for i in range(2)):
        assert pod.poll() is None
        time.sleep(0.02)
    pod.terminate()
    _, stderr = pod.communicate(timeout=60)
    assert pod.returncode == 75, stderr
    assert all((tmp_path / f"saved{i}").exists() for i in range(2))
    assert "wait" not in stderr


@pytest.mark.parametrize("count", ["0", "two"])
def test_local_pod_needs_a_number(count):
    assert launch("local_pod.sh", count, "sft").returncode == 2


def test_scripts_pass_shellcheck():
    found = shutil.which("shellcheck") or str(
        Path(sys.executable).parent / "shellcheck"
    )
    scripts = [str(path) for path in sorted(LAUNCH.glob("*.sh"))]
    subprocess.run([found, "-x", *scripts], check=True, cwd=ROOT)
