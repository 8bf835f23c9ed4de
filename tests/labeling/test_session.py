"""Tests of `rlaif_jax.labeling.session`."""

import asyncio

import pytest

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling import session
from rlaif_jax.labeling.anthropic_chat import AnthropicChat
from rlaif_jax.labeling.openai_chat import OpenAIChat
from rlaif_jax.labeling.openai_decisions import OpenAIDecisions
from rlaif_jax.labeling.openai_responses import OpenAIResponses
from rlaif_jax.labeling.question import Question
from rlaif_jax.labeling.session import Endpoint, open_asker, open_askers, open_chat
from rlaif_jax.labeling.watchdog import Watchdog
from rlaif_jax.records import Message

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("openai", OpenAIChat),
        ("openai_responses", OpenAIResponses),
        ("openai_decisions", OpenAIDecisions),
        ("anthropic", AnthropicChat),
    ],
)
async def test_the_wire_format_chooses_the_client(endpoint, api, kind):
    chat = open_chat(Endpoint(endpoint(api), None, ("A", "B")))
    assert isinstance(chat, kind) and chat.api == api
    await chat.close()


async def test_an_identity_stands_for_the_address_in_the_ledger(endpoint, server):
    for identity, expected in (("lab", "lab"), (None, server.openai_url)):
        chat = open_chat(Endpoint(endpoint(identity=identity)))
        assert chat.identity == expected
        await chat.close()


async def test_what_changes_an_answer_is_told_to_the_ledger(endpoint):
    for api in ("openai", "openai_responses", "anthropic"):
        settings = []
        for effort in (None, "low"):
            chat = open_chat(Endpoint(endpoint(api, reasoning_effort=effort)))
            settings.append(dict(chat.settings))
            await chat.close()
        assert settings == [{}, {"reasoning_effort": "low"}]


async def test_no_answer_is_paid_for_where_none_is_billed(endpoint, tmp_path):
    async with open_asker(
        endpoint("openai_decisions"),
        api_key=None,
        ledger=tmp_path / "l",
        budget_usd=None,
        choices=("A", "B"),
    ) as asker:
        assert asker.max_tokens == 0 and "instructions" in asker.chat.settings


async def test_what_is_refused_is_refused_before_any_file_is_made(
    endpoint, server, tmp_path
):
    ledger = tmp_path / "run" / "ledger.jsonl"
    for config, error in (
        (endpoint(), RefusedError),  # a budget, and no price
        (
            endpoint(
                api_key_env="K",
                usd_per_million_input_tokens=1.0,
                usd_per_million_output_tokens=1.0,
            ),
            UsageError,
        ),
    ):
        with pytest.raises(error):
            async with open_asker(config, api_key=None, ledger=ledger, budget_usd=1.0):
                raise AssertionError
    assert not ledger.parent.exists() and not server.requests


async def test_limits_per_minute_are_kept_if_they_are_set(endpoint, tmp_path):
    wanted = {"requests_per_minute": 60, "tokens_per_minute": 1000}
    for fields, kinds in (({}, set()), (wanted, {"requests", "tokens"})):
        async with open_asker(
            endpoint(**fields), api_key=None, ledger=tmp_path / "l", budget_usd=None
        ) as asker:
            assert asker.limits.buckets.keys() == kinds
            waits = {
                kind: bucket.wait_s(1) for kind, bucket in asker.limits.buckets.items()
            }
            assert not any(waits.values())  # the first call goes at once


async def test_times_reach_the_asker_and_nothing_is_left_running(endpoint, tmp_path):
    before = asyncio.all_tasks()
    async with open_asker(
        endpoint(question_timeout_s=7.0, timeout_s=3.0),
        api_key=None,
        ledger=tmp_path / "l",
        budget_usd=None,
    ) as asker:
        assert (asker.question_timeout_s, asker.timeout_s) == (7.0, 3.0)
        assert len(asyncio.all_tasks() - before) == 2  # the ledger's, the watchdog's
    assert asyncio.all_tasks() == before


async def test_several_endpoints_share_ledger_budget_and_stop(
    endpoint, server, tmp_path
):
    # 100 + 4 tokens are billed a call, and 2 + 32 + 10 reserved before it
    prices = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}
    seats = [endpoint(api, max_tokens=10, **prices) for api in ("openai", "anthropic")]
    hello = (Message(role="user", content="Hi"),)

    def ask(asker, item, template_hash):
        return asker.ask_once(
            Question(messages=hello, item=item, template_hash=template_hash)
        )

    async with open_askers(
        [Endpoint(seat) for seat in seats], ledger=tmp_path / "l", budget_usd=250e-6
    ) as (one, other):
        assert one.stop is other.stop and one.ledger is other.ledger
        await ask(one, "1", "t")
        await ask(other, "2", "t")
        assert one.budget.spent_usd == pytest.approx(208e-6)
        with pytest.raises(RefusedError, match="budget"):
            await ask(one, "3", "u")
    assert len(server.requests) == 2


async def test_a_second_endpoint_without_key_opens_nothing(endpoint, server, tmp_path):
    seats = [Endpoint(endpoint()), Endpoint(endpoint(api_key_env="K"))]
    with pytest.raises(UsageError, match="environment variable K"):
        async with open_askers(seats, ledger=tmp_path / "l", budget_usd=None):
            raise AssertionError
    assert not (tmp_path / "l").exists()


async def test_each_endpoint_has_limits_and_a_named_watchdog_of_its_own(
    endpoint, server, tmp_path, monkeypatch
):
    named = []

    class Named(Watchdog):
        def __init__(self, name, *, after_s):
            super().__init__(name, after_s=after_s)
            named.append((name, after_s))

    monkeypatch.setattr(session, "Watchdog", Named)
    seats = [
        endpoint(model="one", timeout_s=60.0, requests_per_minute=60),
        endpoint(model="two", timeout_s=30.0, question_timeout_s=40.0),
    ]
    before = asyncio.all_tasks()
    async with open_askers(
        [Endpoint(seat) for seat in seats], ledger=tmp_path / "l", budget_usd=None
    ) as (one, two):
        assert one.limits.buckets.keys() == {"requests"} and not two.limits.buckets
        assert one.limits.concurrency is not two.limits.concurrency
        assert (one.question_timeout_s, two.question_timeout_s) == (900.0, 40.0)
        assert len(asyncio.all_tasks() - before) == 3  # the ledger's, two watchdogs'
    assert asyncio.all_tasks() == before
    at = f"at 127.0.0.1:{server.port}"
    assert named == [(f"one {at}", 30.0), (f"two {at}", 15.0)]
