"""Tests of what only `rlaif_jax.labeling.anthropic_batches` does."""

import json

import pytest

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.anthropic_batches import AnthropicBatches
from rlaif_jax.labeling.chat import RejectedError, TransientError
from rlaif_jax.labeling.session import Endpoint, open_chat

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(endpoint):
    chat = open_chat(Endpoint(endpoint("anthropic")))
    yield AnthropicBatches(chat)
    await chat.close()


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("invalid_request_error", UsageError),
        ("authentication_error", UsageError),
        ("billing_error", RefusedError),
        ("request_too_large", RejectedError),
        ("rate_limit_error", TransientError),
        ("overloaded_error", TransientError),
        ("api_error", TransientError),
        ("a_new_error", TransientError),
    ],
)
async def test_an_error_means_what_it_means_of_a_call(api, kind, failure):
    error = {"type": "error", "error": {"type": kind, "message": "no"}}
    line = {"custom_id": "k", "result": {"type": "errored", "error": error}}
    assert isinstance(api.result(json.dumps(line).encode()).end, failure)


async def test_results_are_not_fetched_from_where_the_answer_points(api, batches):
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    held = batches.add("anthropic", [("k", body)])
    batches.looks = 0
    batch = await api.retrieve(held.id)  # with a results_url of another host
    assert [api.result(one).custom_id async for one in api.lines(batch)] == ["k"]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_body_is_a_list_of_the_files_lines(api, batches, tmp_path, number):
    path = tmp_path / "requests.jsonl"
    body = {"messages": [{"role": "user", "content": "two\nlines, a ] and a ,"}]}
    lines = [api.line(f"{n:064x}", body) for n in range(number)]
    path.write_bytes(b"".join(lines))
    await api.create("name", path, "")
    assert batches.documents == [{"requests": [json.loads(line) for line in lines]}]
