"""What happens to a run of four processes when something happens to one of them."""

import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.data.row_sources import ManifestSource
from rlaif_jax.data.shards import ShardWriter

ROOT = Path(__file__).parents[2]


def num_lines(out):
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.fixture
def disturbed(pods, wait_until):
    """Runs until some more steps were reported, then signals one process."""

    def run(verb, document, out, *, number, process, steps=4):
        wanted = num_lines(out) + steps
        pod = pods(verb, document, out)
        wait_until(lambda: num_lines(out) >= wanted, pod, timeout_s=200)
        pod.signal(number, process)
        pod.signalled_at = time.monotonic()
        return pod

    return run


def test_a_pod_of_which_a_process_is_killed_or_preempted_goes_on_bit_by_bit(
    pods, pod_sft, disturbed, tmp_path, assert_same_end
):
    document, unbroken = pod_sft
    out = tmp_path / "broken"
    for victim in (2, 0):
        pod = disturbed("sft", document, out, number=signal.SIGKILL, process=victim)
        codes = pod.codes()
        assert codes.pop(victim) == 128 + signal.SIGKILL
        assert codes == [70] * 3, pod.output(1)
        for process in {0, 1, 2, 3} - {victim}:
            told = f"process {victim} is gone: run the same command again to continue"
            assert told in pod.output(process)
    pod = disturbed("sft", document, out, number=signal.SIGTERM, process=1)
    assert pod.codes() == [75] * 4, pod.output(0)
    print(f"preempted in {time.monotonic() - pod.signalled_at:.1f} s")
    saved = store.latest_step(store.open_folder(out))
    assert saved == num_lines(out) < 30
    pod = pods("sft", document, out)
    assert pod.codes() == [0] * 4, pod.output(0)
    assert_same_end(unbroken, out)


@pytest.mark.slow
def test_one_host_that_hangs_ends_all_with_their_stacks(
    pods, pod_sft, tmp_path, assert_same_end
):
    python = tmp_path / "python"
    program = Path(__file__).with_name("hanging.py")
    python.write_text(
        f'#!/usr/bin/env bash\nexec {sys.executable} {program} "${{@:3}}"\n'
    )
    python.chmod(0o755)
    # long enough to compile, on a machine that is busy
    document = pod_sft[0] | {"pod": {"heartbeat_s": 20, "hang_s": 40}}
    out = tmp_path / "hung"
    environment = {"PYTHON": str(python), "PYTHONPATH": str(ROOT)}
    pod = pods("sft", document, out, **environment)
    assert pod.codes() == [70] * 4, pod.output(0)
    stacks = sorted((out / "stacks").iterdir())
    assert [file.name for file in stacks] == [f"process-{n}.txt" for n in range(4)]
    assert "in a_disk_that_never_answers" in stacks[2].read_text()
    for file in stacks:
        assert "nothing has moved for 40 s since" in file.read_text()
    pod = pods("sft", document, out)
    assert pod.codes() == [0] * 4, pod.output(0)
    assert_same_end(pod_sft[1], out)


@pytest.mark.slow
def test_a_pod_that_waits_for_labels_is_preempted(
    rlaif, pods, study, tmp_path, wait_until
):
    labels, out = tmp_path / "labels", tmp_path / "dpo"
    source = ManifestSource(study.labels, wait_s=0.0)
    document = study.dpo(
        preferences=str(labels), rows={"layout": "padded"}, epochs=1, wait_s=1000
    )
    with ShardWriter(labels) as writer:
        for shard in (0, 1, 2):
            writer.add(source.rows(shard))
        pod = pods("dpo", document, out)
        steps = sum(entry.rows for entry in writer.manifest.entries) // 8
        assert steps == 2
        wait_until(lambda: num_lines(out) >= steps, pod, timeout_s=200)
        time.sleep(3)  # they look at the manifest now
        pod.signal(signal.SIGTERM, 3)
        assert pod.codes(timeout_s=60) == [75] * 4, pod.output(0)
        assert "stopped while waiting for labels" in pod.output(0)
        assert store.latest_step(store.open_folder(out)) == num_lines(out)
        writer.finish()
    pod = pods("dpo", document, out)
    assert pod.codes() == [0] * 4, pod.output(0)
    after = rlaif.run("dpo", document, tmp_path / "alone")
    assert num_lines(out) == num_lines(after)


@pytest.mark.slow
def test_a_pod_that_evaluates_is_preempted(pods, pod_sft, tmp_path, wait_until):
    held_out = {"splits": ["aif"], "every_steps": 3}
    document = pod_sft[0] | {"splits": ["sft"], "validation": held_out}
    unbroken, out = tmp_path / "unbroken", tmp_path / "broken"
    assert pods("sft", document, unbroken).codes() == [0] * 4
    pod = pods("sft", document, out)
    # the third step's lines are told before it is evaluated
    wait_until(lambda: num_lines(out) >= 3, pod, timeout_s=200)
    pod.signal(signal.SIGTERM, 0)
    assert pod.codes(timeout_s=60) == [75] * 4, pod.output(0)
    assert pods("sft", document, out).codes() == [0] * 4
    for name in ("metrics.jsonl", "validation.jsonl"):
        assert (out / name).read_bytes() == (unbroken / name).read_bytes()


@pytest.mark.slow
def test_processes_that_wait_for_one_that_nobody_started_give_up(
    rlaif, pod_sft, tmp_path
):
    document = pod_sft[0] | {"pod": {"start_s": 15}}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        rlaif.start(
            "sft",
            document,
            tmp_path / "out",
            RLAIF_COORDINATOR=f"127.0.0.1:{port}",
            RLAIF_NUM_PROCESSES="3",
            RLAIF_PROCESS_ID=str(process),
        )
        for process in (0, 2)
    ]
    for process in started:
        assert process.wait(timeout=120) == 70, process.log.read_text()
        assert "process 1 of 3 did not join within 15 s" in process.log.read_text()
