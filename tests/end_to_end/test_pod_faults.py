"""What happens to a run of four processes when something happens to one of them."""

import signal
import time

import jax
import numpy as np
import pytest

from rlaif_jax.checkpoint import store


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


def assert_same_end(one, other):
    assert (one / "metrics.jsonl").read_bytes() == (
        other / "metrics.jsonl"
    ).read_bytes()
    ours, theirs = (
        store.restore_params(store.open_folder(folder)) for folder in (one, other)
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_pod_of_which_a_process_is_killed_or_preempted_goes_on_bit_by_bit(
    pods, pod_sft, disturbed, tmp_path
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
