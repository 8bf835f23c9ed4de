"""Tests of `rlaif_jax.labeling.openai_responses`, against a real local server."""

import json

import pytest

from rlaif_jax.labeling.chat import Token, TransientError
from rlaif_jax.labeling.openai_responses import OpenAIResponses
from rlaif_jax.records import Message, Usage

pytestmark = pytest.mark.anyio
ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))


@pytest.fixture
def ask(endpoint, key):
    async def ask(*, temperature=None, seed=None, **fields):
        config = endpoint("openai_responses", **fields)
        chat = OpenAIResponses(config, api_key=key, choices=("Yes", "No"))
        try:
            return await chat.ask(ASK, max_tokens=9, temperature=temperature, seed=seed)
        finally:
            await chat.close()

    return ask


async def test_an_answer_is_read_and_nothing_is_stored(ask, server):
    answer = await ask(temperature=0.5, seed=3)
    assert (answer.text, answer.finish_reason) == ("echo Hi", "stop")
    assert answer.returned_model == "model-2026"
    assert answer.usage == Usage(prompt_tokens=100, completion_tokens=4)
    assert (answer.request_id, answer.service_tier) == ("resp_1", "default")
    assert server.requests == [
        {
            "model": "judge-1",
            "input": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
            ],
            "max_output_tokens": 9,
            "temperature": 0.5,
            "store": False,
        }
    ]


async def test_options_that_are_not_set_are_not_sent(ask, server):
    await ask()
    assert server.requests[0].keys() == {
        *("model", "input", "max_output_tokens", "store")
    }


async def test_effort_and_constraint_are_sent_if_they_are_set(ask, server):
    answer = await ask(reasoning_effort="minimal", constrain="json_schema")
    assert answer.text == '{"verdict": "Yes"}'
    (request,) = server.requests
    assert request["reasoning"] == {"effort": "minimal"}
    form = request["text"]["format"]
    assert (form["type"], form["name"], form["strict"]) == (
        *("json_schema", "verdict", True),
    )
    assert form["schema"]["properties"]["verdict"]["enum"] == ["Yes", "No"]


async def test_tokens_are_told_if_the_verdicts_are_soft(ask, server):
    one = {"token": "Out", "logprob": -0.25, "bytes": list(b"Out")}
    server.tokens = lambda *_: [one | {"top_logprobs": [one]}]
    answer = await ask(verdicts="soft")
    assert answer.tokens == (Token("Out", -0.25, (("Out", -0.25),)),)
    assert server.requests[0]["include"] == ["message.output_text.logprobs"]
    assert server.requests[0]["top_logprobs"] == 20
    assert (await ask()).tokens == ()


@pytest.mark.parametrize("fault", ["content_filter", "length"])
async def test_an_incomplete_answer_says_why(ask, server, fault):
    server.faults.append(fault)
    answer = await ask()
    assert answer.finish_reason == fault
    assert answer.text == "I can not help with that."


async def test_a_refusal_is_told_in_the_models_words(ask, server):
    server.faults.append("refusal")
    answer = await ask()
    assert (answer.finish_reason, answer.text) == ("refusal", "")
    assert answer.refusal == "I can not help with that."


@pytest.mark.parametrize(
    ("fault", "is_rate_limit", "words"),
    [
        ("failed", False, "failed: server_error sorry"),
        ("failed-rate", True, "failed: rate_limit_exceeded sorry"),
        ("cancelled", False, "cancelled"),
        ("silent", False, "garbage"),
    ],
)
async def test_a_200_that_failed_is_asked_again_and_may_be_billed(
    ask, server, fault, is_rate_limit, words
):
    server.faults.append(fault)
    with pytest.raises(TransientError, match=words) as caught:
        await ask()
    assert caught.value.may_be_billed
    assert caught.value.is_rate_limit is is_rate_limit


async def test_a_200_that_failed_for_policy_is_a_refusal_with_its_bill(ask, server):
    server.faults.append("failed-unsafe")
    answer = await ask()
    assert (answer.finish_reason, answer.refusal) == ("refusal", "sorry")
    assert answer.usage == Usage(prompt_tokens=100, completion_tokens=4)


def body(*output, status="completed", **fields):
    document = {"status": status, "output": [*output]} | fields
    return json.dumps(document).encode()


def message(*texts, **fields):
    parts = [{"type": "output_text", "text": text} for text in texts]
    return {"type": "message", "content": parts} | fields


async def test_all_that_was_said_counts_and_nothing_that_was_thought(endpoint, key):
    chat = OpenAIResponses(endpoint("openai_responses"), api_key=key)
    thought = {"type": "reasoning", "content": [{"type": "text", "text": "hm"}]}
    said = [message("Out", "put"), message("aside", phase="commentary")]
    content = body(thought, *said, message(" (a)", phase="final_answer"))
    assert chat.read(content, {}).text == "Output (a)"
    cut = body(thought, status="incomplete", incomplete_details={"reason": "steered"})
    assert (chat.read(cut, {}).text, chat.read(cut, {}).finish_reason) == (
        "",
        "steered",
    )
    await chat.close()


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"{}",
        body({"content": []}),
        body({"type": "message"}),
        body(message(7)),
        body(status="incomplete"),
        body(status="incomplete", incomplete_details=None),
        body(message("x"), output=7),
    ],
)
async def test_a_body_that_is_no_response_is_garbage(endpoint, key, content):
    chat = OpenAIResponses(endpoint("openai_responses"), api_key=key)
    with pytest.raises(TransientError, match="garbage"):
        chat.read(content, {})
    await chat.close()
