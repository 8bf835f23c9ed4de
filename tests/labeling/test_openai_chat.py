"""Tests of `rlaif_jax.labeling.openai_chat`, against a real local server."""

import traceback

import pytest

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.chat import RejectedError, Token, TransientError
from rlaif_jax.labeling.headers import Quota
from rlaif_jax.labeling.openai_chat import OpenAIChat
from rlaif_jax.records import Message, Usage

pytestmark = pytest.mark.anyio
ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
HEADERS = {
    "x-ratelimit-limit-requests": "50",
    "x-ratelimit-remaining-requests": "49",
    "x-ratelimit-reset-requests": "1.2s",
}


async def ask(config, key, *, temperature=None, seed=None):
    chat = OpenAIChat(config, api_key=key)
    try:
        return await chat.ask(ASK, max_tokens=9, temperature=temperature, seed=seed)
    finally:
        await chat.close()


async def test_an_answer_is_read(endpoint, server, key):
    answer = await ask(endpoint(), key, temperature=0.5, seed=3)
    assert answer.text == "echo Hi"
    assert answer.finish_reason == "stop"
    assert answer.returned_model == "model-2026"
    assert answer.usage == Usage(prompt_tokens=100, completion_tokens=4)
    assert server.requests == [
        {
            "model": "judge-1",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
            ],
            "max_tokens": 9,
            "temperature": 0.5,
            "seed": 3,
        }
    ]
    assert server.headers[0]["Authorization"] == f"Bearer {key}"


async def test_options_that_are_not_set_are_not_sent(endpoint, server, key):
    await ask(endpoint(), key)
    assert server.requests[0].keys() == {"model", "messages", "max_tokens"}


async def test_openai_itself_gets_the_limits_new_name():
    config = EndpointConfig(
        api="openai", base_url="https://api.openai.com/v1", model="m"
    )
    chat = OpenAIChat(config, api_key="k")
    assert chat._limit_name == "max_completion_tokens"
    await chat.close()


async def test_the_environment_reaches_nobody(endpoint, server, key, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "leaked")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "leaked")
    monkeypatch.setenv("OPENAI_ORG_ID", "leaked")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "leaked")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: leaked")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    await ask(endpoint(), key)
    assert "leaked" not in str(server.headers[0])


async def test_what_the_server_tells_of_itself_is_kept(endpoint, server, key):
    server.finish_reason = "refusal"
    answer = await ask(endpoint(), key)
    assert (answer.finish_reason, answer.refusal) == ("refusal", "echo Hi")
    assert (answer.service_tier, answer.system_fingerprint) == ("flex", "fp_1")


async def test_an_effort_is_sent_if_it_is_set(endpoint, server, key):
    await ask(endpoint(reasoning_effort="none"), key)
    assert server.requests[0]["reasoning_effort"] == "none"


async def test_what_is_flagged_is_refused_alone(endpoint, server, key):
    server.faults.append("unsafe")
    with pytest.raises(RejectedError, match="flagged") as caught:
        await ask(endpoint(), key)
    assert caught.value.finish_reason == "refusal"


async def test_a_constraint_is_sent_as_servers_want_it(endpoint, server, key):
    for how in ("structured_outputs", "json_schema"):
        config = endpoint(constrain=how)
        chat = OpenAIChat(config, api_key=key, choices=("Yes", "No"))
        answer = await chat.ask(ASK, max_tokens=9, temperature=None, seed=None)
        await chat.close()
        assert answer.text == ("Yes" if how[0] == "s" else '{"verdict": "Yes"}')
    first, second = server.requests
    assert first["structured_outputs"] == {"choice": ["Yes", "No"]}
    assert second["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "verdict",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"verdict": {"type": "string", "enum": ["Yes", "No"]}},
                "required": ["verdict"],
                "additionalProperties": False,
            },
        },
    }


@pytest.mark.parametrize(
    "fault",
    [
        *("html", "truncated", "error-object", "nothing", "list", "drop"),
        *("huge", "not-utf8"),
    ],
)
async def test_garbage_is_asked_again_and_may_be_billed(endpoint, server, key, fault):
    server.faults.append(fault)
    with pytest.raises(TransientError) as caught:
        await ask(endpoint(), key)
    assert caught.value.may_be_billed


@pytest.mark.parametrize(
    ("fault", "wait_s"), [("429", None), ("429-later", 7.0), ("500", None)]
)
async def test_a_busy_server_is_asked_again(endpoint, server, key, fault, wait_s):
    server.faults.append(fault)
    with pytest.raises(TransientError) as caught:
        await ask(endpoint(), key)
    assert caught.value.retry_after_s == wait_s
    assert len(server.requests) == 1  # the SDK does not retry by itself


@pytest.mark.parametrize("fault", ["400", "401", "404", "redirect"])
async def test_a_wrong_request_stops_and_shows_no_key(endpoint, server, key, fault):
    server.faults.append(fault)
    with pytest.raises(UsageError) as caught:
        await ask(endpoint(), key)
    assert key not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None  # the SDK's exceptions hold the request


async def test_an_empty_account_stops(endpoint, server, key):
    server.faults.append("quota")
    with pytest.raises(RefusedError, match="no credit"):
        await ask(endpoint(), key)


async def test_a_prompt_that_is_too_long_is_rejected_alone(endpoint, server, key):
    server.faults.append("too-long")
    with pytest.raises(RejectedError):
        await ask(endpoint(), key)


@pytest.mark.parametrize("fault", ["refusal", "content_filter", "length"])
async def test_an_odd_end_is_a_finish_reason(endpoint, server, key, fault):
    server.faults.append(fault)
    assert (await ask(endpoint(), key)).finish_reason == fault


async def test_a_server_may_keep_its_usage_to_itself(endpoint, server, key):
    server.faults.append("no-usage")
    assert (await ask(endpoint(), key)).usage is None


async def test_nobody_there_is_free_of_charge(key):
    config = EndpointConfig(api="openai", base_url="http://127.0.0.1:1/v1", model="m")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1") as caught:
        await ask(config, key)
    assert not caught.value.may_be_billed


async def test_rate_limits_are_read_from_answers_and_from_refusals(
    endpoint, server, key
):
    server.extra_headers = HEADERS
    for fault in ("", "429"):
        server.faults.append(fault)
        try:
            told = (await ask(endpoint(), key)).quotas
        except TransientError as error:
            assert fault and error.is_rate_limit
            told = error.quotas
        assert told == {"requests": Quota(50.0, 49.0, 1.2)}


def told(text, logp=-0.25, **fields):
    one = {"token": text, "logprob": logp, "bytes": list(text.encode())} | fields
    return one | {"top_logprobs": [one, {"token": "x", "logprob": -3}]}


async def test_tokens_are_told_if_the_verdicts_are_soft(endpoint, server, key):
    half = told("?", bytes=list("é".encode()[:1]))
    server.tokens = lambda *_: [told("Out"), half, *[told("put")] * 99]
    answer = await ask(endpoint(verdicts="soft"), key)
    assert server.requests[0]["logprobs"] is True
    assert server.requests[0]["top_logprobs"] == 20
    assert answer.tokens[0] == Token("Out", -0.25, (("Out", -0.25), ("x", -3.0)))
    assert answer.tokens[1].text == "\udcc3"
    assert len(answer.tokens) == 32
    assert (await ask(endpoint(), key)).tokens == ()
    assert "logprobs" not in server.requests[1]


@pytest.mark.parametrize("content", [None, []])
async def test_a_server_may_keep_its_tokens_to_itself(endpoint, server, key, content):
    server.tokens = lambda *_: content
    assert (await ask(endpoint(verdicts="soft"), key)).tokens == ()


@pytest.mark.parametrize(
    "token",
    [
        told("a", logp=0.5),
        told("a", logp=float("nan")),
        told("a", logp="-1"),
        told("a", logp=None),
        told("a", bytes=[300]),
        told("a", token=7, bytes=None),
        {"token": "a", "logprob": -1},
        "a",
    ],
)
async def test_garbage_among_the_tokens_is_garbage(endpoint, server, key, token):
    server.tokens = lambda *_: [token]
    with pytest.raises(TransientError, match="garbage"):
        await ask(endpoint(verdicts="soft"), key)
