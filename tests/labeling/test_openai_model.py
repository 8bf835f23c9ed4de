"""Tests of `rlaif_jax.labeling.openai_model`: what holds of each of OpenAI's APIs."""

import logging
import traceback

import pytest

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.chat import RejectedError, Token, TransientError
from rlaif_jax.labeling.headers import Quota
from rlaif_jax.labeling.openai_model import sent_turns, told_tokens
from rlaif_jax.labeling.session import Endpoint, open_chat
from rlaif_jax.records import Message

pytestmark = pytest.mark.anyio
ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
APIS = ["openai", "openai_responses", "openai_decisions"]
QUOTA = {
    "x-ratelimit-limit-requests": "50",
    "x-ratelimit-remaining-requests": "49",
    "x-ratelimit-reset-requests": "1.2s",
}


@pytest.fixture(params=APIS)
def ask(request, endpoint, key):
    """Asks one of the APIs."""

    async def ask(**fields):
        config = endpoint(request.param, **fields)
        chat = open_chat(Endpoint(config, key, ("A", "B")))
        try:
            return await chat.ask(ASK, max_tokens=9, temperature=None, seed=None)
        finally:
            await chat.close()

    return ask


async def test_the_key_is_sent_and_the_call_has_a_name(ask, server, key):
    server.extra_headers = {"x-request-id": "req_7"}
    assert (await ask()).request_id == "req_7"
    assert server.headers[0]["Authorization"] == f"Bearer {key}"


async def test_the_environment_reaches_nobody(ask, server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password leaked\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "leaked")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: leaked")
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await ask()
    assert "leaked" not in str(server.headers[0])


async def test_prompts_and_keys_stay_out_of_the_librarys_debug_log(
    ask, server, key, monkeypatch, caplog
):
    for name in ("openai", "httpx2", "httpcore2"):  # as OPENAI_LOG=debug does, and more
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    await ask()
    assert not {"openai", "httpx2"} & {r.name.split(".")[0] for r in caplog.records}
    assert "Be brief" not in caplog.text and key not in caplog.text


@pytest.mark.parametrize(
    "fault", ["html", "truncated", "error-object", "nothing", "list", "drop"]
)
async def test_garbage_is_asked_again_and_may_be_billed(ask, server, fault):
    server.faults.append(fault)
    with pytest.raises(TransientError) as caught:
        await ask()
    assert caught.value.may_be_billed and len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "wait_s"), [("429", None), ("429-later", 7.0), ("500", None)]
)
async def test_a_busy_server_is_asked_again(ask, server, fault, wait_s):
    server.extra_headers = QUOTA
    server.faults.append(fault)
    with pytest.raises(TransientError) as caught:
        await ask()
    assert caught.value.retry_after_s == wait_s
    assert caught.value.quotas == {"requests": Quota(50.0, 49.0, 1.2)}
    assert len(server.requests) == 1  # the SDK does not retry by itself
    assert (await ask()).quotas == {"requests": Quota(50.0, 49.0, 1.2)}


@pytest.mark.parametrize("fault", ["400", "401", "404", "redirect"])
async def test_a_wrong_request_stops_and_shows_no_key(ask, server, key, fault):
    server.faults.append(fault)
    with pytest.raises(UsageError) as caught:
        await ask()
    assert key not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None  # the SDK's exceptions hold the request


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("quota", RefusedError, "no credit"),
        ("too-long", RejectedError, "too long"),
        ("unsafe", RejectedError, "flagged"),
    ],
)
async def test_what_asking_again_does_not_help_says_so(
    ask, server, fault, error, words
):
    server.faults.append(fault)
    with pytest.raises(error, match=words):
        await ask()


async def test_a_refusal_is_a_finish_reason(ask, server):
    server.faults.append("refusal")
    assert (await ask()).finish_reason == "refusal"


async def test_a_server_may_keep_its_usage_to_itself(ask, server):
    server.faults.append("no-usage")
    assert (await ask()).usage is None


def test_turns_are_sent_as_they_are():
    assert sent_turns(ASK)[1] == {"role": "user", "content": "Hi"}


def test_the_first_tokens_are_kept_and_bytes_go_before_text():
    one = {"token": "?", "bytes": [195], "logprob": 0.005, "top_logprobs": []}
    other = {"token": "a", "bytes": None, "logprob": -1, "top_logprobs": [one]}
    tokens = told_tokens([one, *[other] * 99])
    assert len(tokens) == 32
    assert tokens[0] == Token("\udcc3", 0.0, ())
    assert tokens[1] == Token("a", -1.0, (("\udcc3", 0.0),))
