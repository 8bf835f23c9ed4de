"""Tests of what only `rlaif_jax.labeling.openai_batches` does; see `test_batch_api`."""

import json

import pytest

from rlaif_jax.labeling.chat import TransientError
from rlaif_jax.labeling.openai_batches import OpenAIBatches
from rlaif_jax.labeling.session import Endpoint, open_chat
from rlaif_jax.records import Message

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(endpoint):
    chat = open_chat(Endpoint(endpoint("openai")))
    yield OpenAIBatches(chat)
    await chat.close()


async def test_both_files_are_read(api, batches):
    ids = [f"{number:064x}" for number in range(4)]
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    held = batches.add("openai", [(one, body) for one in ids])
    batches.statuses.extend([200, 500, 200, 500])
    batches.looks = 0
    batch = await api.retrieve(held.id)
    assert len(batch.files) == 2
    lines = [api.result(line) async for line in api.lines(batch)]
    assert sorted(one.custom_id for one in lines) == ids
    assert batches.num_reads == 2


async def test_a_batch_that_was_refused_says_why(api, batches):
    held = batches.add("openai", [("k", {})], end="quota")
    batches.looks = 0
    batch = await api.retrieve(held.id)
    assert (batch.code, batch.message) == ("token_limit_exceeded", "no room")
    assert batch.is_ended and batch.num_results is None and not batch.files


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("batch_expired", type(None)),
        ("batch_cancelled", type(None)),
        ("request_timeout", TransientError),
    ],
)
async def test_lines_without_a_response(api, code, end):
    line = {"custom_id": "k", "response": None, "error": {"code": code}}
    result = api.result(json.dumps(line).encode())
    assert isinstance(result.end, end)


async def test_the_request_id_is_that_of_the_line(api, batches):
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    held = batches.add("openai", [("k", body)])
    batches.looks = 0
    batch = await api.retrieve(held.id)
    (line,) = [one async for one in api.lines(batch)]
    assert api.result(line).end.request_id == "req"


async def test_responses_have_batches_of_their_own_path(endpoint):
    chat = open_chat(Endpoint(endpoint("openai_responses")))
    api = OpenAIBatches(chat)
    hello = (Message(role="user", content="Hi"),)
    body = chat.request(hello, max_tokens=7, temperature=None, seed=None)
    line = json.loads(api.line("k", body))
    assert (line["url"], line["body"]["store"]) == ("/v1/responses", False)
    part = {"type": "output_text", "text": "Output (b)", "annotations": []}
    answered = {
        "status": "completed",
        "output": [{"type": "message", "role": "assistant", "content": [part]}],
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    response = {"status_code": 200, "request_id": "r", "body": answered}
    result = api.result(json.dumps({"custom_id": "k", "response": response}).encode())
    assert (result.custom_id, result.end.text) == ("k", "Output (b)")
    await chat.close()
