"""Tests of `rlaif_jax.labeling.handover`."""

import json
import threading

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling import handover
from rlaif_jax.labeling.handover import take_answers
from rlaif_jax.labeling.ledger import Ledger


def key(number):
    return f"{number}".ljust(64, "0")


@pytest.fixture
def asked(tmp_path):
    """Makes a ledger in which questions were asked, failed once, and were answered."""

    def make(name, *numbers, state="answered"):
        path = tmp_path / f"{name}.jsonl"
        with Ledger(path) as ledger:
            for number in numbers:
                for end, cost in (("failed", 0.0), (state, 0.5)):
                    ledger.intend(key(number), str(number), 1.0)
                    result = {"state": end, "attempts": 1, "text": name}
                    result |= {"cost_usd": cost, "uncertain_usd": 0.25}
                    ledger.close_question(key(number), str(number), result)
        return path

    return make


def take(ledger, *numbers, sources, beside=()):
    keys = map(key, numbers)
    take_answers(ledger, keys, sources=sources, beside=beside)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_answer_comes_with_its_calls_and_its_price_however_often(asked, tmp_path):
    old, new = asked("old", 1, 2), tmp_path / "new" / "ledger.jsonl"
    take(new, 1, 3, sources=[old])
    with new.open("ab") as file:
        file.write(b'{"kind": "int')  # a kill
    asked("old", 3)
    for _ in range(2):
        take(new, 1, 3, sources=[old])
    assert [one["item"] for one in lines(new)] == ["1"] * 4 + ["3"] * 4
    with Ledger(new) as ledger:
        # two calls of each question; 0.25 of each may have been billed
        assert (ledger.num_calls, ledger.spent_usd, len(ledger)) == (4, 2.0, 2)
    assert [*new.parent.iterdir()] == [new]


def test_what_got_no_answer_stays_open(asked, tmp_path):
    old, new = asked("old", 1, state="failed"), tmp_path / "new.jsonl"
    take(new, 1, sources=[old])
    assert not new.exists()


def test_a_question_is_taken_from_one_ledger_and_left_if_it_is_answered(
    asked, tmp_path
):
    one, two = asked("one", 1), asked("two", 1, 2)
    new = asked("new", 2)
    take(new, 1, 2, sources=[one, two])
    texts = {(line["item"], line["text"]) for line in lines(new) if "text" in line}
    assert texts == {("2", "new"), ("1", "one")}


def test_an_answer_that_is_told_beside_is_not_told_again(asked, tmp_path):
    one, two = asked("one", 1), asked("two", 1)
    beside, new = tmp_path / "beside.jsonl", tmp_path / "new.jsonl"
    take(beside, 1, sources=[one, two])
    take(new, 1, sources=[one], beside=[beside])
    assert not new.exists()
    take(new, 1, sources=[one, two], beside=[beside])  # which was asked a second time
    assert {line["text"] for line in lines(new) if "text" in line} == {"two"}


def test_a_ledger_that_somebody_writes_to_is_left_alone(asked, monkeypatch):
    monkeypatch.setattr(handover, "_WRITER_S", 0.2)
    old, new = asked("old", 1, 2), asked("new", 2)
    before = new.read_bytes()
    for held in (new, old):
        with Ledger(held), pytest.raises(UsageError, match=f"writing to {held}"):
            take(new, 1, sources=[old])
    assert new.read_bytes() == before
    take(new, 1, sources=[old])
    assert len(lines(new)) == 8


def test_the_last_words_of_a_writer_are_waited_for(asked):
    old = asked("old", 1)
    new = old.with_name("new.jsonl")
    ledger = Ledger(old)

    def end():
        ledger.intend(key(2), "2", 1.0)
        result = {"state": "answered", "attempts": 1, "cost_usd": 0.5}
        ledger.close_question(key(2), "2", result | {"uncertain_usd": 0.0})
        ledger.__exit__(None, None, None)

    writer = threading.Timer(0.5, end)
    writer.start()
    take(new, 1, 2, sources=[old])
    writer.join()
    assert {line["item"] for line in lines(new)} == {"1", "2"}
