"""Tests of `rlaif_jax.runtime.distributed`."""

import os
import signal

import pytest

from rlaif_jax.errors import InternalError, UsageError
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


def test_jax_is_told_what_was_found_and_to_find_nothing_itself(monkeypatch):
    told = {}

    def initialize(**arguments):
        told.update(arguments)
        raise RuntimeError("the address is in use")

    monkeypatch.setattr(distributed, "call_roll", lambda member, limit_s: None)
    monkeypatch.setattr("jax.distributed.initialize", initialize)
    variables = {
        "RLAIF_DISTRIBUTED": "auto",
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "node[1-2]",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "0",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        InternalError, match="process 1 cannot join at node1:61441: the"
    ):
        distributed.start(start_s=20.0, heartbeat_s=7.0)
    assert told == {
        "coordinator_address": "node1:61441",
        "num_processes": 2,
        "process_id": 1,
        "local_device_ids": (0,),
        "cluster_detection_method": "deactivate",
        "initialization_timeout": 20,
        "heartbeat_timeout_seconds": 67,  # later than ours, which names who is gone
    }


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


SHARED = """
import sys
from pathlib import Path
import jax
from rlaif_jax.errors import UsageError
from rlaif_jax.runtime import distributed
distributed.start()
folder = Path(sys.argv[1 + jax.process_index()])
try:
    distributed.require_shared(folder)
    print("shared")
except UsageError as error:
    print(error)
"""


def test_a_folder_that_all_processes_see_is_taken(local_pod, tmp_path):
    results = local_pod(SHARED, [tmp_path / "new"] * 2)
    assert [result.stdout for result in results] == ["shared\n"] * 2
    assert not list((tmp_path / "new").iterdir())


def test_a_folder_of_each_hosts_own_is_refused_by_all(local_pod, tmp_path):
    own = [tmp_path / "0", tmp_path / "1"]
    own[1].mkdir()
    for folder, result in zip(own, local_pod(SHARED, own), strict=True):
        told = f"{folder} is not shared by all hosts: process 1 does not see"
        assert told in result.stdout, result.stderr


def child_of(process):
    """The program itself, below `timeout`."""
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(path) as file:
        return int(file.read())
