"""Tests of `rlaif_jax.training.trackers`."""

import importlib.util
import json
import struct
import threading
import time

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.training.trackers import (
    Trackers,
    TrackerThread,
    require_trackers,
    wandb_id,
)


def crc32c(content):
    """Castagnoli's, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events(folder):
    """What TensorBoard reads: framed records with checksums, file by file."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            (header,) = struct.unpack_from("<I", content, at + 8)
            body = content[at + 12 : at + 12 + size]
            (footer,) = struct.unpack_from("<I", content, at + 12 + size)
            assert header == masked(content[at : at + 8])
            assert footer == masked(body)
            yield Event.FromString(body)
            at += 16 + size


def shown(folder):
    """Steps and values by name; those that a new session begins with are forgotten."""
    series = {}
    for event in events(folder):
        if event.HasField("session_log"):
            series = {
                name: [(step, x) for step, x in values if step < event.step]
                for name, values in series.items()
            }
        for value in event.summary.value:
            series.setdefault(value.tag, []).append((event.step, value.simple_value))
    return series


def write(out, steps, *, after):
    with Trackers(("tensorboard",), out, step=after) as trackers:
        for step in steps:
            trackers.log(step, {"loss": 1.0 / step, "speed/mfu": 0.5})


def test_tensorboard_has_every_step_once_in_a_run_that_was_resumed(tmp_path):
    write(tmp_path, range(1, 6), after=0)
    time.sleep(1.1)  # files are named by the second
    write(tmp_path, range(3, 8), after=2)
    series = shown(tmp_path / "tensorboard")
    expected = [(step, pytest.approx(1.0 / step)) for step in range(1, 8)]
    assert series["loss"] == expected
    assert [step for step, _ in series["speed/mfu"]] == list(range(1, 8))


class Recorder:
    """Remembers what it is given; raises or hangs where told to."""

    def __init__(self, *, fails_at=None, gate=None):
        self.seen = []
        self.is_closed = False
        self._fails_at = fails_at
        self._gate = gate

    def log(self, step, values):
        if self._gate is not None:
            self._gate.wait()
        if step == self._fails_at:
            raise OSError("no space left")
        self.seen.append(step)

    def flush(self):
        self.seen.append("flush")

    def close(self):
        self.is_closed = True


def test_calls_arrive_in_order(tmp_path):
    tracker = Recorder()
    thread = TrackerThread("mine", lambda: tracker)
    thread.log(1, {})
    thread.flush()
    thread.log(2, {})
    thread.close()
    assert tracker.seen == [1, "flush", 2]
    assert tracker.is_closed


def test_what_a_tracker_raises_is_told_once_and_nothing_stops(caplog):
    tracker = Recorder(fails_at=2)
    thread = TrackerThread("mine", lambda: tracker)
    for step in (1, 2, 2, 3):
        thread.log(step, {})
    thread.close()
    assert tracker.seen == [1, 3]
    assert thread.failures == 2
    assert caplog.text.count("training goes on: OSError") == 1


def test_a_tracker_that_cannot_be_opened_stops_nothing(caplog):
    def broken():
        raise ConnectionError("no route")

    thread = TrackerThread("mine", broken)
    thread.log(1, {})
    thread.close()
    assert thread.failures == 1
    assert "no route" in caplog.text


def test_a_tracker_that_hangs_holds_up_nobody_and_drops_are_counted(caplog):
    gate = threading.Event()
    tracker = Recorder(gate=gate)
    thread = TrackerThread("mine", lambda: tracker, capacity=2)
    for step in range(1, 11):
        thread.log(step, {})  # would not return if it waited
    # one is under way at most, and two wait
    assert thread.dropped >= 7
    thread.close(timeout_s=0.1)
    assert "mine did not finish" in caplog.text
    assert f"missed {thread.dropped} steps" in caplog.text
    gate.set()


def test_a_missing_package_is_refused_and_named(monkeypatch):
    require_trackers(("tensorboard",))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"tensorboardX.*rlaif_jax\[trackers\]"):
        require_trackers(("tensorboard",))


def test_a_run_folder_keeps_its_wandb_id(tmp_path):
    first = wandb_id(tmp_path)
    assert wandb_id(tmp_path) == first
    (tmp_path / "wandb.json").unlink()
    assert wandb_id(tmp_path) != first


@pytest.mark.slow
def test_wandb_writes_offline_without_a_key(tmp_path, monkeypatch, caplog):
    pytest.importorskip("wandb", reason="needs W&B: pip install wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    (tmp_path / "config.json").write_text('{"seed": 1}')
    with Trackers(("wandb",), tmp_path, step=0) as trackers:
        trackers.log(1, {"loss": 0.5})
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith(json.loads((tmp_path / "wandb.json").read_text())["id"])
    assert (next(folder.glob("*.wandb"))).stat().st_size > 0
    assert "failed" not in caplog.text
