"""Tests of `rlaif_jax.training.reporting`."""

import json
from collections import deque

import pytest

from rlaif_jax.training.alarms import WINDOW_STEPS
from rlaif_jax.training.facts import BatchFacts, Work
from rlaif_jax.training.reporting import Reported, Reporter

STEPS = WINDOW_STEPS + 5


def facts(records, batch):
    assert batch == sum(records)
    return BatchFacts(
        {"num_tokens": float(batch), "ends_with_eos/chosen": 0.0},
        Work(tokens=batch, places=2 * batch, flops=batch * 10**9),
    )


@pytest.fixture
def tell(session, tiny):
    """Loads batches two ahead, and reports each; from one step to another."""

    def go(name, first, last, *, describe=facts, **changes):
        told = []
        where = session(name, progress=lambda *args: told.append(args), **changes)
        where.out.mkdir(exist_ok=True)
        reported = Reported(
            step=first - 1, batch_size=2, config=tiny, describe=describe
        )
        with Reporter(where, reported) as reporter:
            load = reporter.noting(sum)
            in_flight = deque()
            for step in range(first, last + 1):
                load([step, 1])
                in_flight.append(step)
                if len(in_flight) == 2:
                    reporter.report(in_flight.popleft(), {"loss": 1.0}, last)
            reporter.report(in_flight.popleft(), {"loss": 1.0}, last)
        return told, reporter

    return go


def lines(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_each_step_is_told_with_what_is_known_of_its_own_batch(tell, tmp_path):
    told, _ = tell("run", 1, 4)
    assert [
        line["num_tokens"] for line in lines(tmp_path / "run", "metrics.jsonl")
    ] == [
        2.0,
        5.0,
        9.0,
        14.0,
    ]
    timing = lines(tmp_path / "run", "timing.jsonl")
    assert [line["tokens"] for line in timing] == [2.0, 3.0, 4.0, 5.0]
    assert {line["padding_fraction"] for line in timing} == {0.5}
    assert "tokens_per_second" in timing[1]
    assert "mfu" not in timing[1]  # nobody knows a CPU's peak
    assert [(step, total) for step, total, _ in told] == [(n, 4) for n in range(1, 5)]
    assert told[1][2].keys() >= {"loss", "num_tokens", "examples_per_second"}


def test_a_resumed_run_tells_and_rings_as_an_unbroken_one(tell, tmp_path, caplog):
    _, whole = tell("whole", 1, STEPS)
    tell("broken", 1, 9)
    _, resumed = tell("broken", 8, STEPS)
    for name in ("metrics.jsonl", "alarms.jsonl"):
        both = [(tmp_path / run / name).read_bytes() for run in ("whole", "broken")]
        assert both[0] == both[1]
    assert whole.alarms == resumed.alarms
    (alarm,) = lines(tmp_path / "whole", "alarms.jsonl")
    assert (alarm["name"], alarm["step"]) == ("no_ends", WINDOW_STEPS)
    assert caplog.text.count("no_ends") == 2


def test_a_run_taken_up_before_an_alarm_rings_it_again(tell, tmp_path):
    tell("run", 1, STEPS)
    tell("run", 5, 9)
    assert lines(tmp_path / "run", "alarms.jsonl") == []


def test_batches_of_which_nothing_is_known_are_told_as_they_are(tell, tmp_path):
    tell("run", 1, 2, describe=None)
    assert lines(tmp_path / "run", "metrics.jsonl")[-1] == {
        "step": 2,
        "examples": 4,
        "loss": 1.0,
    }
