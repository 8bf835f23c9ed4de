"""Tests of `rlaif_jax.runtime.device_time`."""

import itertools
import json
import threading

import pytest

from rlaif_jax.runtime.device_time import device_seconds, device_time


def ticking(*seconds):
    return iter(seconds).__next__


def test_every_run_adds_its_seconds_times_its_devices(tmp_path):
    assert device_seconds(tmp_path) == 0
    with device_time(tmp_path, 4, clock=ticking(100.0, 103.0)):
        pass
    with (
        pytest.raises(KeyboardInterrupt),
        device_time(tmp_path, 2, clock=ticking(0.0, 5.0)),
    ):
        raise KeyboardInterrupt
    assert device_seconds(tmp_path) == 4 * 3 + 2 * 5
    with device_time(tmp_path, 8, writes=False):  # another process writes
        pass
    assert device_seconds(tmp_path) == 22


def test_what_a_killed_run_has_noted_is_counted(tmp_path):
    noted, seconds = threading.Event(), itertools.count()

    def clock():
        now = float(next(seconds))
        if now == 3:  # 1 and 2 are written by then
            noted.set()
        return now

    with device_time(tmp_path, 2, every_s=1e-3, clock=clock):
        assert noted.wait(30)
        left = json.loads((tmp_path / "device_time.json").read_text())
    killed = tmp_path / "killed"  # a folder as it was inside
    killed.mkdir()
    (killed / "device_time.json").write_text(json.dumps(left))
    assert left["seconds"] >= 2 * 2
    with device_time(killed, 1, clock=ticking(0.0, 1.0)):
        pass
    assert device_seconds(killed) == left["seconds"] + 1


def test_a_disk_that_is_full_takes_nothing_from_what_a_run_says(tmp_path, caplog):
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt), device_time(folder, 1):
        folder.rmdir()
        folder.write_text("")  # nothing can be written into it
        raise KeyboardInterrupt
    assert "device time not noted" in caplog.text
