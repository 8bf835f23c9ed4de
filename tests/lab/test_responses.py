"""The Responses format, without a network."""

import json

from rlaif_jax.lab.probabilities import spell
from rlaif_jax.lab.responses import RESPONSES
from rlaif_jax.lab.wire import ChatRequest, make_reply, read_request


def body(**changes):
    document = {"model": "m", "input": [{"role": "user", "content": "12345678"}]}
    return json.dumps(document | changes).encode()


def test_a_request_is_read():
    assert read_request(body(max_output_tokens=9), RESPONSES) == ChatRequest(
        "m", "12345678", 0, 9, 2
    )
    assert read_request(body(input="1234"), RESPONSES).text == "1234"
    assert read_request(body(top_logprobs=20), RESPONSES).wants_tokens


def test_a_reply_is_a_message_with_tokens_if_there_are_any():
    tokens = spell("Output (a)", 0.75)
    reply = make_reply(ChatRequest("m", "x", 0, None, 1), "Output (a)", tokens)
    document = json.loads(RESPONSES.encode_reply(reply))
    assert (document["status"], document["incomplete_details"]) == ("completed", None)
    (part,) = document["output"][0]["content"]
    assert part["text"] == "Output (a)" and len(part["logprobs"]) == 3
    assert document["usage"]["output_tokens"] == 3
    plain = make_reply(ChatRequest("m", "x", 0, None, 1), "x")
    part = json.loads(RESPONSES.encode_reply(plain))["output"][0]["content"][0]
    assert part["logprobs"] == []


def test_a_cut_reply_says_why():
    reply = make_reply(ChatRequest("m", "x", 0, 1, 1), "12345")
    document = json.loads(RESPONSES.encode_reply(reply))
    assert document["status"] == document["output"][0]["status"] == "incomplete"
    assert document["incomplete_details"] == {"reason": "max_output_tokens"}
