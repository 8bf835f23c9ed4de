"""Tests of `rlaif_jax.runtime.watchdog`: in processes that it may end."""

import subprocess
import sys
from pathlib import Path

import pytest

from rlaif_jax.runtime import watchdog

ROOT = Path(__file__).parents[2]

PROGRAM = """
import ctypes, sys, time
from pathlib import Path
from rlaif_jax.runtime import watchdog
def in_the_data_path():
    {stands_still}
with watchdog.armed({limit_s}, Path(sys.argv[1])):
    for step in range(12):
        watchdog.moved(f"step {{step}}")
    in_the_data_path()
{after}
print("at the end")
"""


def ended(folder, stands_still="pass", after="", limit_s=30.0):
    program = PROGRAM.format(stands_still=stands_still, after=after, limit_s=limit_s)
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "stands_still",
    [
        "time.sleep(1000)",
        "ctypes.CDLL(None).sleep(1000)",  # in C, as in a collective
        "\n    while True: pass",
    ],
)
def test_a_process_that_stands_still_ends_with_its_stacks(tmp_path, stands_still):
    done = ended(tmp_path, stands_still, limit_s=1.0)
    assert done.returncode == 70
    (file,) = (tmp_path / "stacks").iterdir()
    assert file.name == "process-0.txt"
    for told in (done.stderr, file.read_text()):
        assert "nothing has moved for 1 s since step 11" in told
        assert "in in_the_data_path" in told


def test_a_process_that_moves_is_left_alone(tmp_path):
    done = ended(tmp_path)
    assert (done.returncode, done.stdout) == (0, "at the end\n")
    assert not list(tmp_path.iterdir())


def test_the_time_is_counted_from_the_last_movement():
    now = 0.0
    clock = watchdog._Clock(now=lambda: now)
    for step in range(12):
        clock.moved(f"step {step}")
        now += 1000.0
        assert clock.overdue() is None  # nobody watches
    clock.limit_s = 0.5
    assert "for 0.5 s since step 11" in (clock.overdue() or "")
    for step in range(12, 24):
        clock.moved(f"step {step}")
        now += 0.4
        assert clock.overdue() is None
    now += 0.2
    assert "for 0.5 s since step 23" in (clock.overdue() or "")


def test_the_others_are_told_before_the_end(tmp_path):
    after = (
        "watchdog.called('process-3', lambda message: print('told:', message))\n"
        "watchdog.end_process('process 1 is gone')"
    )
    done = ended(tmp_path, after=after)
    assert done.returncode == 70
    assert done.stdout == "told: process 1 is gone\n"
    assert "the stacks of process-3" in done.stderr


def test_without_a_limit_nobody_watches(tmp_path):
    with watchdog.armed(None, tmp_path):
        watchdog.moved("step 1")
        assert watchdog._clock.limit_s is None
        with watchdog.armed(1000.0, tmp_path):
            assert watchdog._clock.limit_s == 1000.0
        assert watchdog._clock.limit_s is None
