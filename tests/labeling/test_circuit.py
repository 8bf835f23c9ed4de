"""Tests of `rlaif_jax.labeling.circuit`: no real time."""

import logging
import math

import pytest

from rlaif_jax.errors import PreemptedError
from rlaif_jax.labeling.circuit import Circuit

ERROR = RuntimeError("503")


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


def fail(circuit, number=1):
    """Sends so many calls, one after the other, that all fail."""
    for _ in range(number):
        is_trial = circuit.begin()
        try:
            circuit.failed(ERROR, is_trial=is_trial)
        finally:
            circuit.end(is_trial=is_trial)


def test_ten_failures_in_a_row_open_it():
    circuit = Circuit(clock=Clock())
    fail(circuit, 9)
    circuit.answered()
    fail(circuit, 9)
    assert not circuit.is_open and circuit.wait_s() == 0.0
    fail(circuit)
    assert circuit.is_open and circuit.wait_s() == 1.0


def test_one_at_a_time_tries_again_after_ever_longer_waits():
    clock = Clock()
    circuit = Circuit(clock=clock)
    circuit.answered()
    fail(circuit, 10)
    waits = []
    for _ in range(4):
        waits.append(circuit.wait_s())
        clock.now += circuit.wait_s()
        is_trial = circuit.begin()
        assert is_trial and circuit.wait_s() == math.inf
        circuit.failed(ERROR, is_trial=is_trial)
        circuit.end(is_trial=is_trial)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    with pytest.raises(PreemptedError, match=r"15 calls in a row.*last 5 .*503"):
        fail(circuit)


def test_calls_that_began_before_it_opened_are_no_trials():
    circuit = Circuit(clock=Clock())
    for _ in range(100):
        circuit.failed(ERROR, is_trial=False)
    assert circuit.wait_s() == 1.0


def test_a_server_that_never_answered_is_tried_only_twice():
    circuit = Circuit(clock=Clock())
    fail(circuit, 11)
    with pytest.raises(PreemptedError, match="check the endpoint"):
        fail(circuit)


def test_an_answer_closes_it_and_a_new_failure_begins_from_nothing(caplog):
    caplog.set_level(logging.INFO)
    circuit = Circuit(clock=Clock())
    circuit.answered()
    fail(circuit, 13)
    assert circuit.begin()
    circuit.answered()
    circuit.end(is_trial=True)
    assert not circuit.is_open and not circuit.begin()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("10 calls in a row") and told[1].endswith("answers again")
    fail(circuit, 14)  # ten, and four of five trials
    assert circuit.is_open
