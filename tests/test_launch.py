"""Tests of `launch/`: dry runs, and the scripts against a stub `gcloud` on PATH."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
TPU = {
    "TPU_NAME": "pod one",
    "TPU_ZONE": "us-east5-b",
    "TPU_TYPE": "v6e-16",
    "TPU_VERSION": "v2-alpha-tpuv6e",
}

STUB = """#!/usr/bin/env bash
printf '%s\\0' "$@" >>"$CALLS"; printf '\\n' >>"$CALLS"
case "$*" in
  *describe*)
    state=$(head -n1 "$STATES"); sed -i 1d "$STATES"; echo "$state" ;;
esac
"""


def launch(script, *arguments, **environment):
    return subprocess.run(
        ["bash", str(LAUNCH / script), *arguments],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def cloud(tmp_path):
    """Environment with a `gcloud` that records its arguments and plays states."""
    stub = tmp_path / "bin" / "gcloud"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    (tmp_path / "states").write_text("WAITING_FOR_RESOURCES\nPROVISIONING\nACTIVE\n")
    return {
        **TPU,
        "PATH": f"{stub.parent}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "STATES": str(tmp_path / "states"),
        "POLL_S": "0",
    }


def calls(cloud):
    text = Path(cloud["CALLS"]).read_text()
    return [line.split("\0")[:-1] for line in text.splitlines()]


@pytest.mark.parametrize(
    "script", ["tpu_create.sh", "tpu_setup.sh", "tpu_run.sh", "tpu_delete.sh"]
)
def test_a_missing_setting_is_named_before_anything_happens(script):
    done = launch(script, "sft", TPU_ZONE="x")
    assert done.returncode == 2
    assert "set TPU_NAME first" in done.stderr


def test_create_waits_until_the_slice_is_active(cloud):
    done = launch("tpu_create.sh", **cloud)
    assert done.returncode == 0, done.stderr
    first, *polls = calls(cloud)
    assert first[:5] == ["compute", "tpus", "queued-resources", "create", "pod one"]
    assert "--spot" in first
    assert len(polls) == 3


def test_create_gives_up_on_a_failed_request(cloud):
    Path(cloud["STATES"]).write_text("FAILED\n")
    done = launch("tpu_create.sh", **cloud)
    assert done.returncode == 1
    assert "tpu_delete.sh" in done.stderr


def test_an_unknown_provisioning_is_refused(cloud):
    done = launch("tpu_create.sh", TPU_PROVISIONING="cheap", **cloud)
    assert done.returncode == 2
    assert "cheap" in done.stderr


def test_run_quotes_what_the_user_wrote(cloud):
    done = launch("tpu_run.sh", "dpo", "a b.yaml", "x=it's", **cloud)
    assert done.returncode == 0, done.stderr
    (call,) = calls(cloud)
    assert "--worker=all" in call
    command = call[-1].removeprefix("--command=")
    assert "JAX_COORDINATOR_PORT=8476" in command
    shell = command.replace("../venv/bin/python", "printf '<%s>'").split("&& ")[1]
    echoed = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, check=True
    ).stdout
    assert echoed == "<-m><rlaif_jax><dpo><a b.yaml><x=it's>"


def test_delete_forces(cloud):
    assert launch("tpu_delete.sh", **cloud).returncode == 0
    assert "--force" in calls(cloud)[0]


def test_a_dry_run_prints_and_runs_nothing(cloud):
    for script in ("tpu_create.sh", "tpu_setup.sh", "tpu_delete.sh"):
        done = launch(script, DRY_RUN="1", **cloud)
        assert done.returncode == 0, done.stderr
        assert "gcloud compute tpus" in done.stdout
    pod = launch("local_pod.sh", "3", "sft", "x.yaml", DRY_RUN="1")
    assert pod.stdout.count("-m rlaif_jax sft x.yaml") == 3
    data = launch("debug_data.sh", DRY_RUN="1")
    assert "-m rlaif_jax label" in data.stdout
    gpu = launch("gpu_debug.sh", "dpo", "x.yaml", DRY_RUN="1")
    assert "debug=true" in gpu.stdout
    assert not Path(cloud["CALLS"]).exists()


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
