"""Tests of what attempts at a block leave behind."""

import pytest

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.labeling.attempts import (
    BlockLedger,
    attempt_folder,
    block_name,
    blocks_begun,
    new_attempt,
    read_attempts,
    unfinished_name,
)
from rlaif_jax.labeling.objects import FolderObjects

pytestmark = pytest.mark.anyio


def result(state="answered", cost_usd=0.25, uncertain_usd=0.0):
    return {
        "state": state,
        "attempts": 1,
        "cost_usd": cost_usd,
        "uncertain_usd": uncertain_usd,
    }


def key(number):
    return f"{number:064x}"


@pytest.fixture
def objects(tmp_path):
    return FolderObjects(tmp_path)


@pytest.fixture
def begin(objects):
    """Begins an attempt at block 3."""

    async def start():
        earlier = read_attempts(objects, 3)
        log = objects.new_log(attempt_folder(3, new_attempt(len(earlier))))
        ledger = BlockLedger(log, earlier)
        await ledger.begin()
        return ledger

    return start


async def test_a_later_attempt_knows_what_was_paid_for(objects, begin):
    first = await begin()
    first.intend(key(1), "one", 1.0)
    first.close_question(key(1), "one", result())
    first.intend(key(2), "two", 1.0)
    first.close_question(key(2), "two", result(state="failed"))
    first.intend(key(3), "three", 1.0)  # and then its node was lost
    second = await begin()
    assert second.find(key(1))["cost_usd"] == 0.25
    assert second.find(key(2)) is None
    assert second.find(key(3)) is None
    assert len(second) == 1
    names = [attempt.name for attempt in read_attempts(objects, 3)]
    assert [name[:4] for name in names] == ["0000", "0001"]


async def test_a_lost_attempt_has_spent_all_that_it_might(objects, begin):
    ledger = await begin()
    await ledger.lease(2.0)
    ledger.intend(key(1), "one", 1.0)
    ledger.close_question(key(1), "one", result(cost_usd=0.25, uncertain_usd=0.5))
    ledger.intend(key(2), "two", 1.0)
    (attempt,) = read_attempts(objects, 3)
    assert attempt.spent_usd == 2.0  # its lease, more than the 0.75 + 1.0 it tells of
    assert attempt.num_calls == 2
    await ledger.lease(1.5)  # less than before: it may have spent the rest by then
    assert read_attempts(objects, 3)[0].spent_usd == 2.0
    await ledger.end()
    (attempt,) = read_attempts(objects, 3)
    assert attempt.is_ended
    assert attempt.spent_usd == 1.75  # the second call was sent, its end is unknown


async def test_without_a_budget_a_lost_attempt_has_spent_what_it_tells(objects, begin):
    ledger = await begin()
    ledger.intend(key(1), "one", 1.0)
    ledger.close_question(key(1), "one", result(cost_usd=0.25))
    ledger.intend(key(2), "two", 1.0)
    assert read_attempts(objects, 3)[0].spent_usd == 1.25


async def test_a_torn_line_does_not_count(objects, begin, tmp_path):
    ledger = await begin()
    ledger.intend(key(1), "one", 1.0)
    path = tmp_path / objects.names("ledger")[0]
    path.write_bytes(path.read_bytes()[:-5])
    assert read_attempts(objects, 3)[0].records == ()


@pytest.mark.parametrize(
    "line", [b"{}\n", b"nonsense\n", b'{"kind":"lease","usd":"x"}\n']
)
async def test_a_damaged_line_is_named(objects, begin, tmp_path, line):
    await begin()
    path = tmp_path / objects.names("ledger")[0]
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(CorruptDataError, match=r"000000\.jsonl:2 is not a ledger"):
        read_attempts(objects, 3)


async def test_much_that_waits_is_told(begin):
    ledger = await begin()
    for number in range(63):
        ledger.close_question(key(number), "one", result())
    assert not ledger.is_full.is_set()
    ledger.close_question(key(64), "one", result())
    assert ledger.is_full.is_set()
    await ledger.flush()
    assert not ledger.is_full.is_set()


async def test_the_blocks_that_were_begun_are_known(objects, begin):
    assert blocks_begun(objects) == []
    await begin()
    await begin()
    objects.new_log(attempt_folder(12, new_attempt(0))).close()
    assert blocks_begun(objects) == [3, 12]


def test_final_labels_and_others_have_different_names():
    assert block_name(12) == "blocks/000012.jsonl"
    assert unfinished_name(12, "0001-ab") == "blocks/000012.0001-ab.jsonl"
    assert new_attempt(1) != new_attempt(1) > new_attempt(0)
