"""Tests of `rlaif_jax.labeling.ledger`."""

import asyncio
import errno
import json
import os

import pytest

from rlaif_jax.errors import CorruptDataError, InternalError, UsageError
from rlaif_jax.labeling.ledger import Ledger, question_key
from rlaif_jax.records import Message

ASK = (Message(role="user", content="Hi"),)
SETTINGS = {
    "api": "openai",
    "endpoint": "http://h",
    "model": "m",
    "template_hash": "t",
    "temperature": 0.0,
    "max_tokens": 5,
    "seed": None,
    "vote": 0,
}
KEY = question_key(ASK, **SETTINGS)


def result(state="answered", **fields):
    costs = {"cost_usd": 0.5, "uncertain_usd": 0.0}
    return {"state": state, "text": "Output (a)", "attempts": 1, **costs, **fields}


def write(path, *, kind="result", key=KEY, **fields):
    with Ledger(path) as ledger:
        if kind == "intent":
            ledger.intend(key, "pair:ab", 0.25)
        else:
            ledger.close_question(key, "pair:ab", result(**fields))


def test_an_answer_is_found_again(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        assert ledger.find(KEY) is None
        ledger.intend(KEY, "pair:ab", 0.25)
        assert ledger.find(KEY) is None
        ledger.close_question(KEY, "pair:ab", result(text="one\ntwo \ud800 \x00"))
        assert ledger.find(KEY)["text"] == "one\ntwo \ud800 \x00"
    with Ledger(path) as ledger:
        assert len(ledger) == 1
        assert ledger.find(KEY)["text"] == "one\ntwo \ud800 \x00"
        assert ledger.spent_usd == 0.5
    kinds = [json.loads(line)["kind"] for line in path.read_text().splitlines()]
    assert kinds == ["intent", "result"]


def test_a_failure_leaves_the_question_open_but_is_paid_for(tmp_path):
    path = tmp_path / "ledger.jsonl"
    write(path, state="failed", cost_usd=0.0, uncertain_usd=0.125)
    with Ledger(path) as ledger:
        assert ledger.find(KEY) is None and ledger.spent_usd == 0.125


def test_an_intent_without_result_counts_as_perhaps_billed(tmp_path):
    path = tmp_path / "ledger.jsonl"
    write(path, kind="intent")
    with Ledger(path) as ledger:
        assert ledger.spent_usd == 0.25
    write(path)
    with Ledger(path) as ledger:
        assert ledger.spent_usd == 0.5


def test_what_a_killed_run_may_owe_is_not_settled_by_the_next_ones_result(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for _ in range(2):  # a run is killed within its second attempt
        write(path, kind="intent")
    write(path, kind="intent")
    write(path, attempts=1)
    with Ledger(path) as ledger:
        assert ledger.spent_usd == 0.25 + 0.25 + 0.5


@pytest.mark.parametrize("torn", [b'{"kind":"result","k', b"\x00\x00\x00", b"{}\n"])
def test_a_torn_last_line_is_cut_off(tmp_path, torn):
    path = tmp_path / "ledger.jsonl"
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with Ledger(path) as ledger:
        assert len(ledger) == 1
    assert path.read_bytes() == whole


def test_every_torn_prefix_opens(tmp_path):
    path = tmp_path / "ledger.jsonl"
    write(path, kind="intent")
    write(path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with Ledger(path) as ledger:
            assert len(ledger) == 0


def test_damage_in_the_middle_is_corrupt_data(tmp_path):
    path = tmp_path / "ledger.jsonl"
    write(path)
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(CorruptDataError, match=r"ledger\.jsonl:1"):
        Ledger(path)


def test_two_runs_cannot_share_it(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path), pytest.raises(UsageError, match="another run"):
        Ledger(path)
    with Ledger(path):
        pass


def test_a_full_disk_leaves_no_torn_line(tmp_path, monkeypatch):
    path = tmp_path / "ledger.jsonl"
    real_write, free = os.write, [10]

    def write_some(file, line):
        if not free:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, line[: free.pop()])

    with Ledger(path) as ledger:
        ledger.intend(KEY, "pair:ab", 0.25)
        whole = path.read_bytes()
        with (
            monkeypatch.context() as patch,
            pytest.raises(InternalError, match="space"),
        ):
            patch.setattr(os, "write", write_some)
            ledger.close_question(KEY, "pair:ab", result())
        assert path.read_bytes() == whole
        ledger.close_question(KEY, "pair:ab", result())
        assert ledger.find(KEY)["cost_usd"] == 0.5


def test_a_closed_ledger_takes_nothing(tmp_path):
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        pass
    with pytest.raises(InternalError):
        ledger.intend(KEY, "pair:ab", 0.0)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_changes_the_key(name):
    changed = SETTINGS | {name: "other"}
    assert question_key(ASK, **changed) != KEY


def test_roles_texts_and_their_order_change_the_key():
    other = Message(role="user", content="Ho")
    keys = {
        question_key(turns, **SETTINGS)
        for turns in (
            ASK,
            (other,),
            (*ASK, other),
            (other, *ASK),
            (Message(role="system", content="Hi"),),
        )
    }
    assert len(keys) == 5
    assert question_key(ASK, **dict(reversed(SETTINGS.items()))) == KEY


@pytest.mark.anyio
async def test_what_is_written_is_synced_in_groups(tmp_path, monkeypatch):
    synced = asyncio.Event()
    real_sync, calls = os.fdatasync, []
    loop = asyncio.get_running_loop()

    def sync(file):
        calls.append(file)
        real_sync(file)
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr(os, "fdatasync", sync)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        syncing = asyncio.create_task(ledger.keep_synced(every_s=0.0))
        await asyncio.sleep(0)
        for _ in range(5):
            ledger.intend(KEY, "pair:ab", 0.0)
        await synced.wait()
        assert len(calls) == 1
        ledger.end_sync()
        await syncing


def test_what_a_batch_asks_is_told_until_its_result(tmp_path):
    path = tmp_path / "ledger.jsonl"
    other = KEY[::-1]
    with Ledger(path) as ledger:
        ledger.intend(KEY, "pair:ab", 0.25)  # a call that was killed
        assert not ledger.is_spoken_for(KEY)
        ledger.intend(KEY, "pair:ab", 0.5, batch="one")
        ledger.intend(other, "pair:ba", 0.125, batch="two")
    for _ in range(2):
        with Ledger(path) as ledger:
            assert ledger.spent_usd == 0.875 and ledger.num_calls == 3
            (asked,) = ledger.unsettled("one").values()
            assert (asked.at_most_usd, asked.earlier_usd) == (0.5, (0.25,))
            assert ledger.asked(asked.place) == (KEY, "pair:ab")
            assert ledger.is_spoken_for(KEY) and ledger.is_spoken_for(other)
    with Ledger(path) as ledger:
        unsent = result(state="failed", cost_usd=0.0, attempts=0)
        ledger.close_question(other, "pair:ba", unsent)
        assert not ledger.unsettled("two") and not ledger.is_spoken_for(other)
        ledger.close_question(KEY, "pair:ab", result(attempts=1))
        assert ledger.is_spoken_for(KEY) and not ledger.unsettled("one")
    with Ledger(path) as ledger:
        assert ledger.spent_usd == 0.25 + 0.5  # and what the killed call may have
        assert ledger.find(KEY) is not None
        assert ledger.num_calls == 2  # the batch of the other was never sent
