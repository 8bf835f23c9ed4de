"""Both wire formats, without a network."""

import json

import pytest

from rlaif_jax.lab.allowed import Allowed
from rlaif_jax.lab.probabilities import spell
from rlaif_jax.lab.wire import (
    ANTHROPIC,
    OPENAI,
    ChatRequest,
    WireError,
    make_reply,
    num_tokens,
    read_request,
    request_id,
)


def _body(**changes):
    document = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "1234"},
            {"role": "user", "content": "12345678"},
        ],
    }
    return json.dumps({**document, **changes}).encode()


def test_tokens_are_quarters_of_the_characters_rounded_up():
    assert [num_tokens(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_a_request_is_read(dialect):
    expected = ChatRequest("m", "12345678", 5, 9, 3)
    assert read_request(_body(seed=5), dialect) == expected


def test_anthropics_system_prompt_is_billed():
    assert read_request(_body(system="12345678"), ANTHROPIC).prompt_tokens == 5


def test_content_may_come_in_parts():
    parts = [{"type": "text", "text": "12"}, {"type": "text", "text": "34"}]
    body = _body(messages=[{"role": "user", "content": parts}])
    assert read_request(body, OPENAI).text == "1234"


def test_the_newer_name_of_max_tokens_counts():
    body = _body(max_tokens=None, max_completion_tokens=4)
    assert read_request(body, OPENAI).max_tokens == 4
    assert read_request(_body(max_tokens=None), OPENAI).max_tokens is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages"),
        ({"messages": [{"role": "user", "content": 1}]}, "content"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "content"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "role user"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "one completion"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_what_the_lab_does_not_do_is_refused_by_name(changes, named):
    with pytest.raises(WireError, match=named) as caught:
        read_request(_body(**changes), OPENAI)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(WireError, match="body"):
        read_request(body, OPENAI)


def test_anthropic_requires_max_tokens():
    with pytest.raises(WireError, match="max_tokens"):
        read_request(_body(max_tokens=None), ANTHROPIC)


def test_tokens_and_allowed_replies_are_read_if_they_are_asked_for():
    request = read_request(_body(logprobs=True, top_logprobs=20), OPENAI)
    assert request.wants_tokens and request.allowed is None
    body = _body(structured_outputs={"choice": ["A", "B"]})
    assert read_request(body, OPENAI).allowed == Allowed(("A", "B"), None)
    with pytest.raises(WireError, match="the lab does a choice"):
        read_request(_body(structured_outputs={"regex": "a"}), OPENAI)


def test_tokens_are_told_only_where_there_are_any():
    request = ChatRequest("m", "x", 0, None, 1)
    told = make_reply(request, "Output (a)", spell("Output (a)", 0.75))
    (choice,) = json.loads(OPENAI.encode_reply(told))["choices"]
    assert [row["token"] for row in choice["logprobs"]["content"]] == [
        *("Output (", "a", ")")
    ]
    plain = json.loads(OPENAI.encode_reply(make_reply(request, "x")))
    assert plain["choices"][0]["logprobs"] is None


def test_a_long_reply_is_cut_and_says_so():
    request = ChatRequest("m", "x", 0, 2, 1)
    whole, cut = make_reply(request, "12345678"), make_reply(request, "123456789")
    assert (whole.text, whole.is_cut) == ("12345678", False)
    assert (cut.text, cut.is_cut, cut.completion_tokens) == ("12345678", True, 2)
    assert json.loads(OPENAI.encode_reply(cut))["choices"][0]["finish_reason"] == (
        "length"
    )
    assert json.loads(ANTHROPIC.encode_reply(cut))["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("text", ['"', "\\", "\n", "é", "\ud800"])
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_a_reply_is_valid_json_whatever_it_says(dialect, text):
    reply = make_reply(ChatRequest('m"', "x", 0, None, 1), text)
    document = json.loads(dialect.encode_reply(reply))
    assert document["model"] == 'm"'
    assert text in (
        document["choices"][0]["message"]["content"]
        if dialect is OPENAI
        else document["content"][0]["text"]
    )


def test_an_id_is_a_function_of_the_request():
    assert request_id(b"a") == request_id(b"a") != request_id(b"b")
