"""Tests of `rlaif_jax.labeling.openai_decisions`, against a real local server."""

import json

import pytest

from rlaif_jax.labeling.chat import TransientError
from rlaif_jax.labeling.openai_decisions import OpenAIDecisions
from rlaif_jax.records import Message, Usage

pytestmark = pytest.mark.anyio
ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
CHOICES = ("Yes", "No")


@pytest.fixture
async def chat(endpoint, key):
    chat = OpenAIDecisions(endpoint("openai_decisions"), api_key=key, choices=CHOICES)
    yield chat
    await chat.close()


async def ask(chat):
    return await chat.ask(ASK, max_tokens=0, temperature=None, seed=3)


async def test_the_probabilities_of_both_choices_are_read(chat, server):
    server.odds = (0.2, 0.8)
    answer = await ask(chat)
    assert answer.odds == (0.2, 0.8)
    assert (answer.text, answer.finish_reason) == ("No", "stop")
    assert answer.returned_model == "model-2026"
    assert answer.usage == Usage(prompt_tokens=100, completion_tokens=0)
    (request,) = server.requests
    assert request.keys() == {"model", "input", "questions"}
    assert request["input"][1] == {"role": "user", "content": "Hi"}
    (question,) = request["questions"]
    assert question["type"] == "choice"
    assert question["choices"] == [{"value": "Yes"}, {"value": "No"}]
    assert chat.settings == {"instructions": question["instructions"]}


async def test_a_question_may_be_refused(chat, server):
    server.faults.append("refusal")
    answer = await ask(chat)
    assert (answer.finish_reason, answer.text, answer.odds) == ("refusal", "", None)
    assert answer.usage == Usage(prompt_tokens=100, completion_tokens=0)


def body(odds, **fields):
    rows = [{"value": v, "probability": p} for v, p in odds.items()]
    answer = {"type": "choice", "choice": "Yes", "probabilities": rows} | fields
    return json.dumps({"answers": [answer], "model": "m"}).encode()


def test_rounding_does_not_matter_and_neither_does_the_order(chat):
    answer = chat.read(body({"No": 0, "Yes": 1.0000001}), {"x-request-id": "r"})
    assert answer.odds == (1.0000001, 0.0)
    assert (answer.usage, answer.request_id) == (None, "r")


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"answers": []}',
        b'{"answers": [7]}',
        body({"Yes": 1.0}),
        body({"Yes": 0.5, "Maybe": 0.5}),
        body({"Yes": 2.0, "No": 0.0}),
        body({"Yes": -0.5, "No": 0.5}),
        body({"Yes": float("nan"), "No": 0.5}),
        body({"Yes": 0.0, "No": 0.0}),
        body({"Yes": True, "No": 0.0}),
        body({"Yes": "1", "No": 0.0}),
        body({"Yes": 1.0, "No": 0.0}, probabilities=None),
        body({"Yes": 1.0, "No": 0.0}, type="score", probabilities=[]),
    ],
)
def test_a_body_that_holds_no_odds_is_garbage(chat, content):
    with pytest.raises(TransientError, match="garbage") as caught:
        chat.read(content, {})
    assert caught.value.may_be_billed
