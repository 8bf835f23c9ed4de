"""Tests of `rlaif_jax.labeling.batch_plan`."""

import json

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.batch_plan import Planner
from rlaif_jax.labeling.batch_results import Books
from rlaif_jax.labeling.batches import Journal
from rlaif_jax.labeling.openai_batches import OpenAIBatches
from rlaif_jax.labeling.question import Question
from rlaif_jax.labeling.session import open_asker
from rlaif_jax.records import Message

pytestmark = pytest.mark.anyio
AT_MOST_USD = 60e-6  # 18 bytes, 32 around the turn and 10 of the answer at a dollar


def question(number):
    messages = (Message(role="user", content=f"question {number:09d}"),)
    return Question(messages=messages, item=str(number), template_hash="t")


@pytest.fixture
async def planner(endpoint, tmp_path):
    prices = dict.fromkeys(
        ("usd_per_million_input_tokens", "usd_per_million_output_tokens"), 1.0
    )
    async with open_asker(
        endpoint(max_tokens=10, **prices),
        api_key=None,
        ledger=tmp_path / "ledger.jsonl",
        budget_usd=1.0,
    ) as asker:
        yield Planner(
            api=OpenAIBatches(asker.chat),
            asker=asker,
            books=Books(ledger=asker.ledger, budget=asker.budget, prices=asker.prices),
            journal=Journal(tmp_path / "batches.jsonl"),
            folder=tmp_path / "batches",
            questions=lambda: map(question, range(10)),
            addressee="judge",
            max_requests=4,
            max_bytes=1 << 20,
        )


async def plans(planner):
    planner.restart()
    made = []
    while (entry := await planner.next_batch()) is not None:
        lines = planner.spool(entry).read_bytes().splitlines()
        made.append([json.loads(line)["custom_id"] for line in lines])
        assert entry.size == len(made[-1]) and entry.state == "planned"
    return made


def keys(planner, numbers):
    return [planner.asker.addressee.key(question(number)) for number in numbers]


async def test_batches_are_filled_in_order_up_to_the_most_requests(planner):
    made = await plans(planner)
    assert [len(one) for one in made] == [4, 4, 2]
    assert [key for one in made for key in one] == keys(planner, range(10))
    intents = planner.books.ledger.path.read_text().splitlines()
    named = [json.loads(line)["batch"] for line in intents]
    assert [named.count(one.name) for one in planner.journal.entries] == [4, 4, 2]


async def test_batches_are_filled_up_to_the_most_bytes(planner):
    planner.restart()
    line = planner._line(question(0), keys(planner, [0])[0])
    planner.max_bytes = 3 * len(line)
    assert [len(one) for one in await plans(planner)] == [3, 3, 3, 1]
    planner.max_bytes = len(line) - 1
    planner.books.release(planner.journal.entries[0].name, "test")
    with pytest.raises(UsageError, match=r"about 0 takes .* raise batch\.max_bytes"):
        await plans(planner)


async def test_what_is_closed_or_under_way_is_not_planned(planner):
    ledger = planner.books.ledger
    closed, under_way, called = keys(planner, [1, 2, 3])
    costs = {"cost_usd": 0.0, "uncertain_usd": 0.0}
    ledger.close_question(closed, "1", {"state": "answered", **costs})
    ledger.intend(under_way, "2", 0.1, batch="another")
    ledger.intend(called, "3", 0.1)  # by a call that was killed
    made = await plans(planner)
    assert [key for one in made for key in one] == keys(planner, [0, *range(3, 10)])
    assert not await plans(planner)  # all is under way now


async def test_the_same_question_is_planned_once(planner):
    planner.questions = lambda: [question(0), question(1), question(0)]
    assert [len(one) for one in await plans(planner)] == [2]


async def test_a_batch_is_cut_to_what_the_budget_holds(planner):
    planner.books.budget.spent_usd = 1.0 - 2.5 * AT_MOST_USD
    assert [len(one) for one in await plans(planner)] == [2]
    assert planner.is_short
