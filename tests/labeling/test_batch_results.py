"""Tests of `rlaif_jax.labeling.batch_results`, with scripted results."""

import dataclasses
import json

import pytest

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.batch_api import Batch, Result
from rlaif_jax.labeling.batch_results import Books, Tally, short_key
from rlaif_jax.labeling.budget import Budget, Prices
from rlaif_jax.labeling.chat import Answer, RejectedError, TransientError
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.records import Usage

pytestmark = pytest.mark.anyio
KEYS = [f"{number:032x}{number:032x}" for number in range(5)]
AT_MOST_USD = 0.25
ANSWER = Answer(
    text="Output (a)",
    finish_reason="stop",
    returned_model="m-1",
    usage=Usage(prompt_tokens=10, completion_tokens=2),
    request_id="r",
)


class ScriptedApi:
    """Brings what it is given; a failure at the end of it is raised."""

    max_requests = max_bytes = 1

    def __init__(self, *results):
        self.results = results

    async def lines(self, batch):
        for place, one in enumerate(self.results):
            if isinstance(one, Exception):
                raise one
            yield str(place).encode()

    def result(self, line):
        found = self.results[int(line)]
        if found is None:
            raise ValueError("garbage")
        return found

    def line(self, key, body): ...
    async def upload(self, spool): ...
    async def create(self, name, spool, file): ...
    async def retrieve(self, batch_id): ...
    def recent(self, since): ...
    async def delete(self, batch, file): ...


@pytest.fixture
def books(tmp_path):
    """Books with five questions in the batch `ours`, one in another."""
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        budget = Budget(limit_usd=10.0)
        for number, key in enumerate(KEYS):
            assert budget.try_reserve(AT_MOST_USD)
            ledger.intend(key, f"pair-{number}:ab", AT_MOST_USD, batch="ours")
        ledger.intend("f" * 64, "pair:ab", AT_MOST_USD, batch="theirs")
        prices = Prices(input_usd=1e4, output_usd=1e4)
        yield Books(ledger=ledger, budget=budget, prices=prices)


async def ingest(books, *results, tally=None, num_results=None, is_last_try=False):
    tally = tally or Tally()
    batch = Batch(
        id="b", is_ended=True, created_at=0.0, size=5, num_results=num_results
    )
    await books.ingest(
        ScriptedApi(*results), batch, "ours", tally, is_last_try=is_last_try
    )
    return tally


async def test_each_end_becomes_the_outcome_of_a_call(books):
    tally = await ingest(
        books,
        Result(KEYS[3], None),
        Result(KEYS[0], ANSWER),
        Result(KEYS[2], TransientError("500")),
        Result(KEYS[1], RejectedError("413", finish_reason="too_long")),
        Result(KEYS[4], TransientError("garbage", may_be_billed=True)),
    )
    assert (tally.answered, tally.left_open, tally.lines) == (2, 3, 5)
    assert tally.told() == "2 answered, 3 left open"
    found = [books.ledger.find(key) for key in KEYS]
    assert [one and one["state"] for one in found] == [
        "answered",
        "too_long",
        None,
        None,
        None,
    ]
    assert found[0]["via"] == "batch" and found[0]["batch"] == "ours"
    assert Outcome.from_json(found[0]) == Outcome.of_answer(
        ANSWER, cost_usd=0.12, uncertain_usd=0.0, attempts=1
    )
    # 12 tokens at a cent, and the last one's most
    assert books.budget.spent_usd == pytest.approx(0.12 + AT_MOST_USD)
    assert books.budget._reserved_usd == 0.0
    assert not books.ledger.unsettled("ours") and books.ledger.unsettled("theirs")


async def test_an_answer_without_usage_may_have_cost_the_most(books):
    answer = dataclasses.replace(ANSWER, usage=None)
    await ingest(books, Result(KEYS[0], answer))
    assert books.ledger.find(KEYS[0])["uncertain_usd"] == AT_MOST_USD


async def test_odd_lines_are_counted_and_change_nothing(books):
    wrong = KEYS[1][:32] + "f" * 32  # begins like one of ours
    tally = await ingest(
        books,
        Result(KEYS[0], ANSWER),
        Result(KEYS[0], RejectedError("twice", finish_reason="refusal")),
        Result("f" * 64, ANSWER),
        Result(wrong, ANSWER),
        Result("no key", ANSWER),
        Result("x" * 64, ANSWER),
        None,
    )
    assert (tally.ignored, tally.unreadable, tally.answered) == (5, 1, 1)
    assert tally.told().endswith(", 5 lines ignored, 1 lines unreadable")
    assert books.ledger.find(KEYS[0])["state"] == "answered"
    assert books.ledger.find("f" * 64) is None and books.ledger.find(KEYS[1]) is None


async def test_results_that_end_early_are_read_again(books):
    for cut in ((), (TransientError("dropped"),)):
        with pytest.raises(TransientError, match=r"lack 3 lines|dropped"):
            first = [Result(key, ANSWER) for key in KEYS[:2]]
            await ingest(books, *first, *cut, num_results=5)
    tally = await ingest(books, *[Result(key, ANSWER) for key in KEYS], num_results=5)
    assert (tally.answered, tally.ignored, tally.left_open) == (3, 2, 0)


async def test_a_batch_without_a_line_for_a_question_leaves_it_open_for_free(books):
    tally = await ingest(books, Result(KEYS[0], ANSWER), num_results=1)
    assert tally.left_open == 4
    assert books.budget.spent_usd == pytest.approx(0.12)


async def test_lines_that_never_come_may_have_been_billed(books):
    results = [Result(key, ANSWER) for key in KEYS[:3]]
    await ingest(books, *results, num_results=5, is_last_try=True)
    assert books.budget.spent_usd == pytest.approx(0.36 + 2 * AT_MOST_USD)


@pytest.mark.parametrize("error", [UsageError("400"), RefusedError("402")])
async def test_what_stops_a_run_is_kept_until_all_lines_are_read(books, error):
    tally = await ingest(books, Result(KEYS[0], error), Result(KEYS[1], ANSWER))
    assert tally.error is error and tally.answered == 1
    assert books.ledger.find(KEYS[0]) is None


async def test_what_nobody_worked_on_is_open_and_free(books):
    assert books.release("ours", "never created") == 5
    assert books.release("ours", "again") == 0
    assert books.budget.spent_usd == 0.0 and not books.ledger.is_spoken_for(KEYS[0])
    lines = books.ledger.path.read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["error"], last["attempts"]) == ("never created", 0)


def test_what_is_no_key_is_nobodys():
    assert [short_key(text) for text in ("", "x" * 64, "0" * 63)] == [b""] * 3
