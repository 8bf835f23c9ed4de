"""Tests of `rlaif_jax.labeling.batch_api`: what both providers' classes have."""

import json

import pytest

from rlaif_jax.labeling.anthropic_batches import AnthropicBatches
from rlaif_jax.labeling.batch_api import BatchApi
from rlaif_jax.labeling.chat import RejectedError, TransientError
from rlaif_jax.labeling.openai_batches import OpenAIBatches
from rlaif_jax.labeling.session import Endpoint, open_chat
from rlaif_jax.records import Message

pytestmark = pytest.mark.anyio
KINDS = {"openai": OpenAIBatches, "anthropic": AnthropicBatches}
MESSAGES = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hi\u2028 \ud800"),
)


@pytest.fixture(params=["openai", "anthropic"])
async def opened(request, endpoint):
    chat = open_chat(
        Endpoint(endpoint(request.param, api_key_env="K"), "planted-key-9f8e7d")
    )
    yield chat, KINDS[request.param](chat)
    await chat.close()


def spool(api, chat, path, number=3):
    body = chat.request(MESSAGES, max_tokens=7, temperature=0.5, seed=1)
    path.write_bytes(b"".join(api.line(f"{n:064x}", body) for n in range(number)))
    return path


async def test_a_request_is_the_very_body_of_a_call(opened, batches, server, tmp_path):
    chat, api = opened
    assert isinstance(api, BatchApi)
    path = spool(api, chat, tmp_path / "requests.jsonl", number=1)
    path.write_bytes(path.read_bytes().replace(b"\\ud800", b""))  # no call takes it
    file = await api.upload(path)
    await api.create("name", path, file)
    whole = [MESSAGES[0], Message(role="user", content="Hi\u2028 ")]
    await chat.ask(whole, max_tokens=7, temperature=0.5, seed=1)
    (held,) = batches.batches.values()
    assert held.requests == [("0" * 64, server.requests[0])]
    assert server.headers[0]["Authorization"] == "Bearer planted-key-9f8e7d"


async def test_a_large_file_is_sent_whole(opened, batches, tmp_path):
    chat, api = opened
    path = spool(api, chat, tmp_path / "requests.jsonl", number=5000)
    assert path.stat().st_size > 3 << 18  # several pieces
    batch = await api.create("name", path, await api.upload(path))
    ids = [custom_id for custom_id, _ in batches.batches[batch.id].requests]
    assert ids == [f"{n:064x}" for n in range(5000)]


async def test_a_batch_is_told_and_listed_page_by_page(opened, batches, tmp_path):
    chat, api = opened
    batches.looks = None
    path = spool(api, chat, tmp_path / "requests.jsonl")
    made = []
    for number in range(5):
        file = await api.upload(path)
        made.append(await api.create(f"name-{number}", path, file))
    assert not made[0].is_ended and made[0].size == 3
    newest_first = [one.id for one in reversed(made)]
    assert [one.id async for one in api.recent(0.0)] == newest_first
    assert not [one async for one in api.recent(made[0].created_at + 1e6)]
    assert await api.retrieve(made[0].id) == made[0]
    names = [one.name for one in made]
    expected = [f"name-{number}" for number in range(5)]
    assert names == (expected if chat.api == "openai" else [None] * 5)


async def test_results_become_answers_failures_or_nothing(opened, batches, tmp_path):
    chat, api = opened
    path = spool(api, chat, tmp_path / "requests.jsonl", number=6)
    batches.ends.append("expired")
    batches.statuses.extend([200, 500, 200])
    created = await api.create("name", path, await api.upload(path))
    batches.looks = 0
    batch = await api.retrieve(created.id)
    # OpenAI does not say how many lines an expired batch has
    assert batch.is_ended
    assert batch.num_results == (6 if chat.api == "anthropic" else None)
    results = [api.result(line) async for line in api.lines(batch)]
    ends = {int(one.custom_id, 16): one.end for one in results}
    asked = await chat.ask(
        [Message(role="user", content=MESSAGES[1].content.replace("\ud800", ""))],
        max_tokens=7,
        temperature=None,
        seed=None,
    )
    assert ends[0].usage == asked.usage and ends[0].finish_reason == "stop"
    assert isinstance(ends[1], TransientError) and not ends[1].may_be_billed
    assert [ends[number] for number in (3, 4, 5)] == [None] * 3


async def test_no_line_of_results_is_told(opened):
    _, api = opened
    for line in (b"<html>", b"[]", b"{}", b'{"custom_id": "x"}', b"\xff"):
        with pytest.raises(ValueError, match="no line of results"):
            api.result(line)


async def test_an_answer_that_is_garbage_may_be_billed(opened):
    chat, api = opened
    if chat.api == "openai":
        line = {"response": {"status_code": 200, "body": {}}, "error": None}
    else:
        line = {"result": {"type": "succeeded", "message": {}}}
    result = api.result(json.dumps({"custom_id": "k", **line}).encode())
    assert isinstance(result.end, TransientError) and result.end.may_be_billed


async def test_a_prompt_that_is_too_long_is_so_for_good(opened):
    chat, api = opened
    error = {"type": "invalid_request_error", "message": "prompt is too long"}
    if chat.api == "openai":
        response = {"status_code": 400, "body": {"error": error}}
        line = {"response": response, "error": None}
    else:
        line = {"result": {"type": "errored", "error": {"error": error}}}
    result = api.result(json.dumps({"custom_id": "k", **line}).encode())
    assert isinstance(result.end, RejectedError)


async def test_garbage_in_place_of_a_batch_is_tried_again_later(opened, batches):
    _, api = opened
    batches.looks = None
    held = batches.add("openai", [("k", {})])
    held.id = "../../elsewhere"
    batches.add("anthropic", [("k", {})]).id = "../../elsewhere"
    with pytest.raises(TransientError, match="garbage answer"):
        [one async for one in api.recent(0.0)]
