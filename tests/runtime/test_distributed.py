"""Tests of `rlaif_jax.runtime.distributed`."""

import os
import signal

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.runtime import distributed


def test_one_process_starts_nothing_and_is_main():
    distributed.start()
    assert distributed.is_main()
    assert distributed.broadcast({"step": 3}) == {"step": 3}
    assert not distributed.stop_requested(1)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RLAIF_PROCESS_ID": "0"}, "only RLAIF_PROCESS_ID is set"),
        ({"RLAIF_DISTRIBUTED": "yes"}, "'yes' is not known"),
        (
            {
                "RLAIF_COORDINATOR": "127.0.0.1:1",
                "RLAIF_NUM_PROCESSES": "two",
                "RLAIF_PROCESS_ID": "0",
            },
            "RLAIF_NUM_PROCESSES='two' is not a number",
        ),
        (
            {
                "RLAIF_COORDINATOR": "127.0.0.1:1",
                "RLAIF_NUM_PROCESSES": "2",
                "RLAIF_PROCESS_ID": "2",
            },
            "RLAIF_PROCESS_ID=2 is not below RLAIF_NUM_PROCESSES=2",
        ),
    ],
)
def test_variables_that_make_no_run_are_named(monkeypatch, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        distributed.start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_for_a_stop_until_the_run_is_over(number):
    before = signal.getsignal(number)
    with distributed.graceful_stop():
        assert not distributed.stop_requested(1)
        os.kill(os.getpid(), number)
        assert distributed.stop_requested(1)
    assert signal.getsignal(number) is before
    with distributed.graceful_stop():
        assert not distributed.stop_requested(2)


def test_a_stop_inside_a_stage_also_stops_what_runs_the_stages():
    with distributed.graceful_stop():
        with distributed.graceful_stop():
            os.kill(os.getpid(), signal.SIGTERM)
        assert distributed.stop_requested(1)


def test_the_second_interrupt_stops_at_once():
    with pytest.raises(KeyboardInterrupt), distributed.graceful_stop():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


STEPS = """
import signal, sys, time
import jax, jax.numpy as jnp
from rlaif_jax.runtime import distributed
distributed.start()
facts = {"text": "\\u00e9", "rows": [1, 2]} if distributed.is_main() else {}
assert distributed.broadcast(facts) == {"text": "\\u00e9", "rows": [1, 2]}
if sys.argv[1] == "stolen":
    signal.signal(signal.SIGTERM, lambda *_: None)
with distributed.graceful_stop():
    print("ready", flush=True)
    for step in range(100_000):
        if distributed.stop_requested(step):
            print("stopped at", step, flush=True)
            break
        distributed.broadcast({"step": step})
        time.sleep(0.002)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_one_host_stops_all_at_the_same_step(started_pod, name):
    pod = started_pod(STEPS, ["own"])
    for process in pod:
        assert "ready\n" in process.stdout, process.stderr.read()
    os.kill(child_of(pod[1]), getattr(signal, name))
    ends = [process.communicate()[0] for process in pod]
    assert [process.returncode for process in pod] == [0, 0]
    assert ends[0].startswith("stopped at") and ends[0] == ends[1]


def test_a_stolen_signal_handler_is_an_error(local_pod):
    for result in local_pod(STEPS, ["stolen"]):
        assert result.returncode != 0
        assert "preemptions would go unnoticed" in result.stderr


def child_of(process):
    """The program itself, below `timeout`."""
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(path) as file:
        return int(file.read())
