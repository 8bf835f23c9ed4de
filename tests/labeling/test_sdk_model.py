"""Tests of `rlaif_jax.labeling.sdk_model`: what holds of every API."""

import traceback

import httpx2
import pytest

from rlaif_jax.config_endpoints import CriticConfig
from rlaif_jax.labeling.chat import ChatModel, TransientError
from rlaif_jax.labeling.sdk_model import SdkModel
from rlaif_jax.labeling.session import Endpoint, open_chat
from rlaif_jax.records import Message

pytestmark = pytest.mark.anyio
ASK = (Message(role="user", content="Hi"),)
PATHS = {
    "openai": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "openai_decisions": "/v1/decisions",
    "anthropic": "/v1/messages",
}


@pytest.fixture(params=PATHS)
async def chat(request, endpoint, key):
    opened = open_chat(Endpoint(endpoint(request.param), key, ("A", "B")))
    yield opened
    await opened.close()


def asked(chat):
    return chat.ask(ASK, max_tokens=9, temperature=None, seed=None)


async def test_every_api_is_asked_in_the_same_way(chat, server):
    assert isinstance(chat, SdkModel) and isinstance(chat, ChatModel)
    assert chat.path.endswith(PATHS[chat.api].removeprefix("/v1"))
    await asked(chat)
    sent = chat.request(ASK, max_tokens=9, temperature=None, seed=None)
    assert server.requests == [sent]


async def test_its_headers_are_those_that_the_sdk_sends(chat, server):
    body = chat.request(ASK, max_tokens=9, temperature=None, seed=None)
    await asked(chat)
    await chat.client.post(chat.path, cast_to=httpx2.Response, body=body)
    ours, theirs = server.headers
    # how often and how long the SDK tries is not its business here
    of_a_call = {"x-stainless-retry-count", "x-stainless-read-timeout"}
    of_a_call |= {"x-stainless-timeout", "idempotency-key", "content-length"}
    for headers in (ours, theirs):
        for name in [*headers]:
            if name.lower() in of_a_call:
                del headers[name]
    assert ours == theirs
    assert ours["Content-Type"] == "application/json"


async def test_any_text_is_sent_as_json(chat, server):
    text = 'a "\n\u2028 é \U0001f600 \udcc3'  # the last is half a character
    messages = (Message(role="user", content=text),)
    await chat.ask(messages, max_tokens=9, temperature=None, seed=None)
    assert any(text in one for one in strings(server.requests[0]))


def strings(document):
    """Every string in a document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        parts = document.values() if isinstance(document, dict) else document
        for part in parts:
            yield from strings(part)


async def test_a_dropped_connection_may_be_billed_and_shows_no_key(chat, server, key):
    server.faults.append("drop")
    with pytest.raises(TransientError, match="no answer from") as caught:
        await asked(chat)
    assert caught.value.may_be_billed
    error = caught.value
    assert error.__cause__ is None and error.__context__ is None
    assert key not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("api", PATHS)
async def test_nobody_there_is_free_of_charge(api, key):
    config = CriticConfig(
        api=api,
        base_url="http://127.0.0.1:1/v1",
        model="m",
        verdicts="soft" if api == "openai_decisions" else "hard",
    )
    chat = open_chat(Endpoint(config, key, ("A", "B")))
    with pytest.raises(TransientError, match="no answer") as caught:
        await asked(chat)
    assert not caught.value.may_be_billed
    await chat.close()


def test_a_vendor_must_say_what_is_sent_and_how_it_is_read():
    with pytest.raises(TypeError, match="abstract"):
        SdkModel(None, api_key="k", client=None, http=None)
