"""Tests of `rlaif_jax.labeling.anthropic_chat`, against a real local server."""

import json
import logging
import traceback

import pytest

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.anthropic_chat import AnthropicChat
from rlaif_jax.labeling.chat import RejectedError, TransientError
from rlaif_jax.labeling.headers import Quota
from rlaif_jax.records import Message, Usage

pytestmark = pytest.mark.anyio
ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
HEADERS = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "1.2",
}


async def ask(config, key, *, temperature=None, seed=None):
    chat = AnthropicChat(config, api_key=key)
    try:
        return await chat.ask(ASK, max_tokens=9, temperature=temperature, seed=seed)
    finally:
        await chat.close()


async def test_an_answer_is_read(endpoint, server, key):
    answer = await ask(endpoint("anthropic"), key, temperature=0.5, seed=3)
    assert answer.text == "echo Hi"
    assert answer.finish_reason == "stop"
    assert answer.returned_model == "model-2026"
    assert answer.usage == Usage(prompt_tokens=100, completion_tokens=4)
    assert server.requests == [
        {
            "model": "judge-1",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "Hi"}],
            "system": "Be brief.",
            "temperature": 0.5,
        }
    ]
    assert server.headers[0]["Authorization"] == f"Bearer {key}"


async def test_options_that_are_not_set_are_not_sent(endpoint, server, key):
    await ask(endpoint("anthropic"), key)
    assert server.requests[0].keys() == {"model", "messages", "max_tokens", "system"}


async def test_the_environment_reaches_nobody(endpoint, server, key, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "leaked")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "leaked")
    monkeypatch.setenv("ANTHROPIC_PROFILE", "leaked")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Leak: leaked")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    await ask(endpoint("anthropic"), key)
    assert "leaked" not in str(server.headers[0])


async def test_a_profile_on_disk_is_not_read(
    endpoint, server, key, monkeypatch, tmp_path
):
    (tmp_path / "configs").mkdir()
    profile = {
        "base_url": "http://127.0.0.1:1",
        "organization_id": "leaked",
        "authentication": {"type": "user_oauth"},
    }
    (tmp_path / "configs" / "default.json").write_text(json.dumps(profile))
    (tmp_path / "active_config").write_text("default")
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    await ask(endpoint("anthropic"), key)
    assert "leaked" not in str(server.headers[0])


async def test_prompts_and_keys_stay_out_of_the_librarys_debug_log(
    endpoint, server, key, monkeypatch, caplog
):
    for name in ("anthropic", "httpx2"):  # as ANTHROPIC_LOG=debug does
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    await ask(endpoint("anthropic"), key)
    assert "Be brief" not in caplog.text and key not in caplog.text


async def test_effort_and_constraint_are_sent_if_they_are_set(endpoint, server, key):
    config = endpoint("anthropic", reasoning_effort="low", constrain="json_schema")
    chat = AnthropicChat(config, api_key=key, choices=("Yes", "No"))
    answer = await chat.ask(ASK, max_tokens=9, temperature=None, seed=None)
    await chat.close()
    assert answer.text == '{"verdict": "Yes"}'
    assert server.requests[0]["output_config"] == {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"verdict": {"type": "string", "enum": ["Yes", "No"]}},
                "required": ["verdict"],
                "additionalProperties": False,
            },
        },
    }


async def test_a_refusal_tells_its_category(endpoint, server, key):
    server.faults.append("refusal")
    answer = await ask(endpoint("anthropic"), key)
    assert (answer.refusal, answer.service_tier) == ("frontier_llm", "standard")


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
        await ask(endpoint("anthropic"), key)
    assert caught.value.may_be_billed


@pytest.mark.parametrize(
    ("fault", "wait_s"), [("429", None), ("429-later", 7.0), ("529", None)]
)
async def test_a_busy_server_is_asked_again(endpoint, server, key, fault, wait_s):
    server.faults.append(fault)
    with pytest.raises(TransientError) as caught:
        await ask(endpoint("anthropic"), key)
    assert caught.value.retry_after_s == wait_s
    assert len(server.requests) == 1  # the SDK does not retry by itself


@pytest.mark.parametrize("fault", ["400", "401", "404", "redirect"])
async def test_a_wrong_request_stops_and_shows_no_key(endpoint, server, key, fault):
    server.faults.append(fault)
    with pytest.raises(UsageError) as caught:
        await ask(endpoint("anthropic"), key)
    assert key not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None  # the SDK's exceptions hold the request


async def test_an_empty_account_stops(endpoint, server, key):
    server.faults.append("quota")
    with pytest.raises(RefusedError, match="no credit"):
        await ask(endpoint("anthropic"), key)


async def test_a_prompt_that_is_too_long_is_rejected_alone(endpoint, server, key):
    server.faults.append("too-long")
    with pytest.raises(RejectedError):
        await ask(endpoint("anthropic"), key)


@pytest.mark.parametrize("fault", ["refusal", "content_filter", "length"])
async def test_an_odd_end_is_a_finish_reason(endpoint, server, key, fault):
    server.faults.append(fault)
    assert (await ask(endpoint("anthropic"), key)).finish_reason == fault


async def test_a_server_may_keep_its_usage_to_itself(endpoint, server, key):
    server.faults.append("no-usage")
    assert (await ask(endpoint("anthropic"), key)).usage is None


async def test_nobody_there_is_free_of_charge(key):
    config = EndpointConfig(api="anthropic", base_url="http://127.0.0.1:1", model="m")
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
            told = (await ask(endpoint("anthropic"), key)).quotas
        except TransientError as error:
            assert fault and error.is_rate_limit
            told = error.quotas
        assert told == {"requests": Quota(50.0, 49.0, 1.2)}
