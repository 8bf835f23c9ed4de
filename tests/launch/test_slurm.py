"""The printed batch script runs all processes, tells their code, requeues itself."""

import re
import signal
import subprocess

import pytest

SRUN = """#!/usr/bin/env bash
# starts the tasks of a step, as Slurm would; the first words are srun's own
while [[ "$1" == --* ]]; do shift; done
set -m # a signal goes to all processes of a task
for ((task = 0; task < SLURM_NTASKS; task++)); do
  SLURM_PROCID=$task "$@" &
  tasks+=($!)
done
set +m
trap 'for task in "${tasks[@]}"; do kill -TERM -- "-$task"; done' TERM
touch "$FACTS/ready"
code=0
for task in "${tasks[@]}"; do
  while kill -0 "$task" 2>/dev/null; do wait "$task" || true; done
done
exit 1
"""
SQUEUE = """#!/usr/bin/env bash
# the state of job 7, a flag instead of the base state where Slurm shows flags
[[ "$*" == "--noheader --jobs=7 --format=%T" ]] || exit 2
cat "$FAKE/job_state"
"""
SCONTROL = """#!/usr/bin/env bash
# puts job 7 back, unless it may not be
[[ ! -e "$FAKE/refused" ]] || {
  echo "Requested operation is presently disabled for job 7" >&2
  exit 1
}
echo "$@" >>"$FAKE/requeued"
"""
JOB = """#!/usr/bin/env bash
# a task: `python -m rlaif_jax VERB CODES ...`; the code at its own place
IFS=, read -ra codes <<<"$4"
printf '%s\\n' "$@" >"$FACTS/$SLURM_PROCID"
env >"$FACTS/env"
[[ "${codes[SLURM_PROCID]}" != save ]] || {
  trap 'exit 75' TERM
  touch "$FACTS/ready$SLURM_PROCID"
  while :; do sleep 0.05; done
}
exit "${codes[SLURM_PROCID]}"
"""


@pytest.fixture
def slurm(cloud):
    """Prints a script and starts it as the batch step of job 7."""
    fakes = {"srun": SRUN, "job": JOB, "squeue": SQUEUE, "scontrol": SCONTROL}
    for name, text in fakes.items():
        path = cloud.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
    (cloud.folder / "facts").mkdir()
    (cloud.folder / "job_state").write_text("RUNNING")

    running = []

    def start(*arguments, again=0, **environment):
        sizes = {"NODES": "1", "GPUS_PER_NODE": "3", "PROCESSES": "gpu"}
        sizes["PYTHON"] = "job"
        printed = cloud.run("slurm.sh", *arguments, **sizes | environment)
        assert printed.code == 0, printed.output
        script = cloud.folder / "batch.sh"
        script.write_text(printed.output)
        (count,) = re.findall(r"--ntasks=(\d+)", printed.output)
        process = subprocess.Popen(
            ["bash", str(script)],
            cwd=cloud.folder,
            stdout=subprocess.PIPE,
            text=True,
            env={
                "PATH": cloud.environment["PATH"],
                "FAKE": str(cloud.folder),
                "FACTS": str(cloud.folder / "facts"),
                "SLURM_JOB_ID": "7",
                "SLURM_NTASKS": count,
                "SLURM_RESTART_COUNT": str(again),
                "SLURM_SUBMIT_DIR": str(cloud.folder),
            },
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def ended(slurm):
    def end(*arguments, **options):
        process = slurm(*arguments, **options)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    return end


def requeued(cloud):
    path = cloud.folder / "requeued"
    return path.read_text().splitlines() if path.exists() else []


def test_every_process_gets_what_was_written(cloud, ended):
    assert ended("sft", "0,0,0", "it's {a: $b}\n", "--out", "x y")[0] == 0
    for task in range(3):
        text = (cloud.folder / "facts" / str(task)).read_text()
        assert text == "-m\nrlaif_jax\nsft\n0,0,0\nit's {a: $b}\n\n--out\nx y\n"
    assert "RLAIF_DISTRIBUTED=auto" in (cloud.folder / "facts/env").read_text()
    assert requeued(cloud) == []


def test_there_is_one_process_a_node_with_all_its_gpus(cloud, ended):
    code, _ = ended("sft", "0,0", NODES="2", PROCESSES="", GPUS_PER_NODE="4")
    assert code == 0
    environment = (cloud.folder / "facts/env").read_text()
    assert "JAX_LOCAL_DEVICE_IDS=0,1,2,3\n" in environment
    assert "JAX_COORDINATOR_PORT" not in environment  # JAX's own, of the job's number


@pytest.mark.parametrize("codes", ["75,75,75", "0,70,134", "137,134,134"])
def test_what_may_do_better_is_requeued(cloud, ended, codes):
    assert ended("sft", codes)[0] != 0
    assert requeued(cloud) == ["requeue 7"]


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED"])  # after scancel
def test_a_job_that_is_cancelled_is_not_requeued(cloud, ended, state):
    (cloud.folder / "job_state").write_text(state)
    code, output = ended("sft", "75,75,75")
    assert code == 75
    assert f"the job is {state}: not requeued" in output
    assert requeued(cloud) == []


def test_a_job_whose_state_is_not_told_is_requeued(cloud, ended):
    (cloud.folder / "job_state").unlink()
    assert ended("sft", "75,75,75")[0] == 75
    assert requeued(cloud) == ["requeue 7"]


def test_a_requeue_that_is_refused_is_told(cloud, ended):
    (cloud.folder / "refused").touch()
    code, output = ended("sft", "0,70,134")
    assert code == 70  # not scontrol's own
    assert "Slurm does not requeue the job: submit it again to continue" in output


@pytest.mark.parametrize("code", [2, 65, 78])
def test_what_would_fail_again_is_not(cloud, ended, code):
    assert ended("sft", f"134,{code},70")[0] == code
    assert requeued(cloud) == []


@pytest.mark.parametrize("joined", [False, True])
def test_restarts_without_progress_are_bounded(cloud, ended, joined):
    out = cloud.folder / "out"
    option = [f"--out={out}"] if joined else ["--out", out]
    for again in range(4):
        if again == 1:
            step = out / "checkpoints/5"
            step.mkdir(parents=True)
            (step / "integrity.json").touch()
        _, output = ended("sft", "70,70,70", *option, again=again, MAX_RESTARTS="2")
    assert "given up after 2 restarts" in output
    assert len(requeued(cloud)) == 3  # one, then two after the newer checkpoint


def test_a_job_that_is_stopped_saves_and_is_requeued(cloud, slurm):
    process = slurm("sft", "save,save,save")
    facts = cloud.folder / "facts"
    while len(list(facts.glob("ready*"))) < 4:  # srun and its tasks
        assert process.poll() is None
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    process.send_signal(signal.SIGTERM)  # Slurm tells the script and the step
    subprocess.run(["kill", "-TERM", *children.stdout.split()], check=True)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    assert requeued(cloud) == ["requeue 7"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NODES": ""}, "set NODES first"),
        ({"GPUS_PER_NODE": "all"}, "GPUS_PER_NODE=all"),
        ({"PROCESSES": "core"}, "PROCESSES=core"),
    ],
)
def test_a_wrong_setting_is_named(cloud, variables, said):
    sizes = {"NODES": "2", "GPUS_PER_NODE": "8"}
    done = cloud.run("slurm.sh", "sft", **sizes | variables)
    assert done.code == 2
    assert said in done.output
