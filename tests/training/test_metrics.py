"""Tests of `rlaif_jax.training.metrics`."""

import json

import pytest

from rlaif_jax.training.facts import Work
from rlaif_jax.training.metrics import MetricsLog


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(folder, first, last, *, step, clock=lambda: 0.0):
    with MetricsLog(folder, step=step, batch_size=4, clock=clock) as log:
        for number in range(first, last + 1):
            log.report(number, {"loss": 1 / number})
    return log


def test_one_line_a_step_with_the_examples_seen(tmp_path):
    write(tmp_path, 1, 2, step=0)
    assert lines(tmp_path / "metrics.jsonl") == [
        {"step": 1, "examples": 4, "loss": 1.0},
        {"step": 2, "examples": 8, "loss": 0.5},
    ]


def test_a_resumed_log_is_byte_for_byte_an_unbroken_one(tmp_path):
    write(tmp_path / "whole", 1, 5, step=0)
    write(tmp_path / "broken", 1, 4, step=0)
    with (tmp_path / "broken/metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # killed while writing
    write(tmp_path / "broken", 3, 5, step=2)
    for name in ("metrics.jsonl", "timing.jsonl"):
        whole = (tmp_path / "whole" / name).read_bytes()
        if name == "metrics.jsonl":
            assert (tmp_path / "broken" / name).read_bytes() == whole


def test_a_fresh_run_drops_what_was_there(tmp_path):
    write(tmp_path, 1, 3, step=0)
    write(tmp_path, 1, 1, step=0)
    assert len(lines(tmp_path / "metrics.jsonl")) == 1


def test_the_last_metrics_of_an_earlier_session_are_known(tmp_path):
    write(tmp_path, 1, 4, step=0)
    with MetricsLog(tmp_path, step=2, batch_size=4) as log:
        assert log.last == {"loss": 0.5}


def test_times_leave_out_the_first_step(tmp_path):
    ticks = iter([100.0, 102.0, 106.0])
    log = write(tmp_path, 1, 3, step=0, clock=lambda: next(ticks))
    assert log.examples_per_second == 8 / 6.0
    assert lines(tmp_path / "timing.jsonl") == [
        {"step": 1},
        {"step": 2, "seconds": 2.0, "examples_per_second": 2.0},
        {"step": 3, "seconds": 4.0, "examples_per_second": 1.0},
    ]


def test_a_process_that_does_not_write_leaves_no_file(tmp_path):
    with MetricsLog(tmp_path, step=0, batch_size=4, writes=False) as log:
        log.report(1, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []
    assert log.last == {"loss": 1.0}


def test_times_leave_out_what_is_done_between_steps(tmp_path):
    ticks = iter([100.0, 101.0, 150.0, 152.0])
    with MetricsLog(tmp_path, step=0, batch_size=4, clock=lambda: next(ticks)) as log:
        acts = []
        act = log.untimed(lambda *given: acts.append(given))
        act("before the first step")
        log.report(1, {"loss": 1.0})
        log.report(2, {"loss": 1.0})
        act("evaluated", 2)
        log.report(3, {"loss": 1.0})
    assert acts == [("before the first step",), ("evaluated", 2)]
    assert [line.get("seconds") for line in lines(tmp_path / "timing.jsonl")] == [
        None,
        1.0,
        2.0,
    ]


def test_speed_counts_padding_apart_and_mfu_against_the_peak(tmp_path):
    ticks = iter([0.0, 2.0, 6.0])
    work = Work(tokens=100, places=160, flops=4 * 10**12)

    def log_from(step):
        return MetricsLog(
            tmp_path,
            step=step,
            batch_size=4,
            peak_flops=1e13,
            clock=lambda: next(ticks),
        )

    with log_from(0) as log:
        for step in (1, 2, 3):
            log.report(step, {"loss": 1.0}, work)
    # 200 tokens and 8 TFLOP in the 6 seconds of the timed steps
    assert log.tokens_per_second == pytest.approx(200 / 6)
    assert log.mfu == pytest.approx(8e12 / 6e13)
    second = lines(tmp_path / "timing.jsonl")[1]
    assert second == {
        "step": 2,
        "tokens": 100,
        "flops": 4e12,
        "padding_fraction": pytest.approx(0.375),
        "seconds": 2.0,
        "examples_per_second": 2.0,
        "tokens_per_second": 50.0,
        "padded_tokens_per_second": 80.0,
        "mfu": pytest.approx(0.2),
    }
    with log_from(3) as resumed:
        assert resumed.mfu == log.mfu
        assert resumed.tokens_per_second == log.tokens_per_second
