"""Tests of `rlaif_jax.runtime.peers`: two processes, of which one comes to harm."""

import os
import signal

import pytest

PROGRAM = """
import ctypes, os, signal, sys, time
import jax
from rlaif_jax.errors import UsageError
from rlaif_jax.runtime import distributed
distributed.start(start_s=60.0, heartbeat_s=float(sys.argv[3]))
index, fault = jax.process_index(), sys.argv[1]
def step():
    with distributed.ending_together():
        for number in range(100_000):
            distributed.broadcast({"step": number})
            if number == 20 and index == int(sys.argv[2]):
                exec(fault)
            if number == 40 and fault == "pass":
                break
            time.sleep(0.01)
try:
    step()
except UsageError as error:
    print("own message:", error, file=sys.stderr)
    sys.exit(error.exit_code)
print("good")
"""

KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
FROZEN = "os.kill(os.getpid(), signal.SIGSTOP)"
CRASH = "ctypes.CDLL(None).strlen(None)"
CRASH_WITH_LOCK = "ctypes.PyDLL(None).strlen(None)"
SHORT_S = 3.0  # of a silence that comes
LONG_S = 30.0  # of one that must not


def codes(results):
    return [result.returncode for result in results]


def test_processes_part_in_peace(local_pod):
    results = local_pod(PROGRAM, ["pass", 0, LONG_S])
    assert codes(results) == [0, 0], results[0].stderr
    assert [result.stdout for result in results] == ["good\n"] * 2


@pytest.mark.parametrize("victim", [0, 1])
def test_the_survivor_of_a_killed_process_says_who_is_gone(local_pod, victim):
    results = local_pod(PROGRAM, [KILLED, victim, SHORT_S])
    survivor = results[1 - victim]
    assert survivor.returncode == 70, survivor.stderr
    told = f"process {victim} is gone: run the same command again to continue"
    assert told in survivor.stderr


def test_a_crash_is_told_to_all_with_its_stack(local_pod):
    results = local_pod(PROGRAM, [CRASH, 1, LONG_S])
    assert codes(results) == [70, 70], results[1].stderr
    told = "crashed in compiled code (Fatal Python error: Segmentation fault)"
    assert f"process 1 has ended: {told}" in results[0].stderr
    assert "in step\n" in results[1].stderr


@pytest.mark.slow
def test_a_crash_that_holds_the_interpreters_lock_is_a_death_all_the_same(local_pod):
    results = local_pod(PROGRAM, [CRASH_WITH_LOCK, 1, SHORT_S])
    assert results[0].returncode == 70, results[0].stderr
    # its own signal, or that with which JAX ends it as process 0 has ended meanwhile
    deaths = {-signal.SIGSEGV, -signal.SIGABRT}
    assert results[1].returncode in deaths, results[1].stderr
    assert "process 1 is gone" in results[0].stderr


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_frozen_process_is_gone_too(started_pod, victim):
    pod = started_pod(PROGRAM, [FROZEN, victim, SHORT_S])
    _, stderr = pod[1 - victim].communicate(timeout=100)
    assert pod[1 - victim].returncode == 70, stderr
    told = {0: "process 0 has not answered", 1: "process 1 is gone"}[victim]
    assert told in stderr
    for child in children_of(pod[victim].pid):
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("guilty", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_an_error_of_one_ends_the_other_with_its_message(local_pod, guilty):
    fault = "raise UsageError('no such file')"
    results = local_pod(PROGRAM, [fault, guilty, LONG_S])
    assert results[guilty].returncode == 2, results[guilty].stderr
    assert "own message: no such file" in results[guilty].stderr
    other = results[1 - guilty]
    assert other.returncode == 70, other.stderr
    assert f"process {guilty} has ended with exit code 2" in other.stderr
    assert "no such file" in other.stderr


def children_of(process):
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(child) for child in file.read().split()]
