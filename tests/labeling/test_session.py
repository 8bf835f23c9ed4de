"""Tests of `rlaif_jax.labeling.session`."""

import asyncio

import pytest

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.anthropic_chat import AnthropicChat
from rlaif_jax.labeling.openai_chat import OpenAIChat
from rlaif_jax.labeling.session import open_asker, open_chat

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("api", "kind"), [("openai", OpenAIChat), ("anthropic", AnthropicChat)]
)
async def test_the_wire_format_chooses_the_client(endpoint, api, kind):
    chat = open_chat(endpoint(api), None)
    assert isinstance(chat, kind) and chat.api == api
    await chat.close()


async def test_an_identity_stands_for_the_address_in_the_ledger(endpoint, server):
    for identity, expected in (("lab", "lab"), (None, server.openai_url)):
        chat = open_chat(endpoint(identity=identity), None)
        assert chat.identity == expected
        await chat.close()


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
