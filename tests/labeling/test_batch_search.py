"""Tests of `rlaif_jax.labeling.batch_search`, against both APIs."""

import time

import pytest

from rlaif_jax.labeling.anthropic_batches import AnthropicBatches
from rlaif_jax.labeling.batch_results import Books
from rlaif_jax.labeling.batch_search import Search
from rlaif_jax.labeling.batches import Journal
from rlaif_jax.labeling.openai_batches import OpenAIBatches
from rlaif_jax.labeling.session import open_asker

pytestmark = pytest.mark.anyio
KINDS = {"openai": OpenAIBatches, "anthropic": AnthropicBatches}
BODY = {"messages": [{"role": "user", "content": "Hi"}]}
KEYS = [f"{number:064x}" for number in range(1, 4)]


@pytest.fixture(params=["openai", "anthropic"])
async def lost(request, endpoint, tmp_path):
    """The wire format, and the search for a batch of three questions."""
    async with open_asker(
        endpoint(request.param),
        api_key=None,
        ledger=tmp_path / "ledger.jsonl",
        budget_usd=None,
    ) as asker:
        journal = Journal(tmp_path / "batches.jsonl")
        entry = journal.plan("judge")
        for key in KEYS:
            asker.ledger.intend(key, "pair:ab", 0.0, batch=entry.name)
        journal.note(entry, "uploaded", size=3, file="file-7")
        books = Books(ledger=asker.ledger, budget=asker.budget, prices=asker.prices)
        api = KINDS[request.param](asker.chat)
        search = Search(entry, api=api, journal=journal, books=books)
        yield request.param, search, journal, entry


def requests(keys):
    return [(key, BODY) for key in keys]


async def test_ours_is_found_among_others(lost, batches):
    api, search, _, entry = lost
    batches.add(api, requests(["a", "b", "c"]))  # as large as ours
    name = {"rlaif_jax_batch": entry.name}
    ours = batches.add(api, requests(KEYS), metadata=name)
    batches.add(api, requests(["a", "b"]))
    found = await search.found()
    assert found.id == ours.id and not search.is_lost


async def test_a_file_tells_it_where_metadata_are_lost(lost, batches):
    api, search, *_ = lost
    ours = batches.add(api, requests(KEYS), source="file-7")
    assert (await search.found()).id == ours.id


async def test_it_is_lost_after_three_listings_without_it(lost, batches):
    api, search, *_ = lost
    batches.add(api, requests(KEYS), created_at=time.time() - 3600)  # before it
    batches.add(api, requests(["a", "b", "c"]))
    for is_lost in (False, False, True):
        assert await search.found() is None
        assert search.is_lost is is_lost
    assert batches.num_reads == (1 if api == "anthropic" else 0)


async def test_a_batch_that_is_in_the_journal_is_another(lost, batches):
    api, search, journal, _ = lost
    other = journal.plan("judge")
    held = batches.add(api, requests(KEYS))
    journal.note(other, "created", id=held.id)
    assert await search.found() is None


async def test_a_name_tells_at_once_and_a_size_only_with_results(lost, batches):
    api, search, _, entry = lost
    batches.looks = None
    name = {"rlaif_jax_batch": entry.name}
    batches.add(api, requests(KEYS), metadata=name)
    if api == "anthropic":
        for _ in range(10):
            assert await search.found() is None and not search.is_lost
        batches.looks = 0
    assert (await search.found()) is not None


async def test_results_without_a_line_tell_nothing(lost, batches):
    api, search, *_ = lost
    ours = batches.add(api, requests(KEYS), source="file-7")
    batches.looks = 0
    batches.result_faults.extend([*["nothing"] * 5, "unknown"])
    for _ in range(5 if api == "anthropic" else 0):
        assert await search.found() is None and not search.is_lost
    assert (await search.found()).id == ours.id
