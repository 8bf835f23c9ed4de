"""Tests of `rlaif_jax.labeling.calls`."""

import json

import pytest

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.labeling.calls import read_calls
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.outcome import Outcome

ANSWER = Outcome(
    state="answered", text="Output (a)", finish_reason="stop", attempts=1
).to_json()
FAILED = Outcome(
    state="failed", finish_reason="failed", attempts=2, error="500"
).to_json()
KEYS = {name: name * 64 for name in "abc"}


def intent(key, at):
    record = {"kind": "intent", "key": KEYS[key], "item": key, "at_most_usd": 0.1}
    return json.dumps(record | {"at": at})


def result(key, at, outcome=ANSWER):
    record = {"kind": "result", "key": KEYS[key], "item": key, **outcome}
    return json.dumps(record | {"at": at})


def test_latency_runs_from_the_last_call_to_its_result(tmp_path):
    # a: one call; b: a second attempt at 4; c: its intent is lost
    path = tmp_path / "ledger.jsonl"
    lines = [
        intent("a", 1.0),
        intent("b", 1.5),
        result("a", 3.25),
        intent("b", 4.0),
        result("b", 4.5),
        result("c", 9.0),
    ]
    path.write_text("".join(line + "\n" for line in lines))
    calls = read_calls(path)
    assert {item: call.latency_s for item, (call,) in calls.items()} == {
        "a": 2.25,
        "b": 0.5,
        "c": None,
    }
    assert calls["a"][0].outcome == Outcome.from_json(ANSWER)


def test_a_later_answer_replaces_a_failure(tmp_path):
    path = tmp_path / "ledger.jsonl"
    lines = [intent("a", 0.0), result("a", 8.0, FAILED)]
    lines += [intent("a", 100.0), result("a", 101.0)]
    path.write_text("".join(line + "\n" for line in lines))
    (call,) = read_calls(path)["a"]
    assert (call.outcome.state, call.latency_s) == ("answered", 1.0)


def test_what_the_ledger_writes_is_read_while_it_grows(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.intend(KEYS["a"], "a", 0.1)
        ledger.close_question(KEYS["a"], "a", ANSWER)
        with path.open("a") as torn:
            torn.write('{"kind": "res')
        calls = read_calls(path)
    assert set(calls) == {"a"}
    assert 0.0 <= calls["a"][0].latency_s < 5.0


def test_several_questions_about_one_item_are_kept_apart(tmp_path):
    path = tmp_path / "ledger.jsonl"
    other = json.loads(result("a", 2.0)) | {"key": KEYS["b"]}
    path.write_text(f"{result('a', 1.0)}\n{json.dumps(other)}\n")
    assert len(read_calls(path)["a"]) == 2


def test_no_ledger_has_no_calls(tmp_path):
    assert read_calls(tmp_path / "ledger.jsonl") == {}


@pytest.mark.parametrize("line", ["{", "3", '{"kind": "result", "at": 1}', "{}"])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "ledger.jsonl"
    path.write_text(f"{intent('a', 0.0)}\n{line}\n{result('a', 1.0)}\n")
    with pytest.raises(CorruptDataError, match=r"ledger\.jsonl:2 is not a ledger"):
        read_calls(path)


def test_hours_in_a_batch_are_no_latency(tmp_path):
    path = tmp_path / "ledger.jsonl"
    answered = json.loads(result("a", 9000.0)) | {"via": "batch", "batch": "one"}
    path.write_text(f"{intent('a', 0.0)}\n{json.dumps(answered)}\n")
    (call,) = read_calls(path)["a"]
    assert call.latency_s is None and call.outcome == Outcome.from_json(ANSWER)
