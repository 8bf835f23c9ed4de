"""Tests of `rlaif_jax.labeling.session`."""

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
