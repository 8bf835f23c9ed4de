"""Tests of `rlaif_jax.labeling.outcome`."""

import json

import pytest

from rlaif_jax.labeling.chat import Answer, Token
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.records import Usage


def outcome(finish_reason="stop", usage=None, tokens=()):
    answer = Answer(
        text="Output (a)",
        finish_reason=finish_reason,
        returned_model="m-1",
        usage=usage,
        request_id="r",
        tokens=tokens,
    )
    return Outcome.of_answer(answer, cost_usd=0.1, uncertain_usd=0.2, attempts=3)


def test_it_survives_the_ledger():
    before = outcome(usage=Usage(prompt_tokens=3, completion_tokens=4))
    assert Outcome.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_tokens_survive_the_ledger_and_are_in_it_only_if_there_are_any():
    tokens = (Token("Out\udcc3", -0.5, (("a", -0.5), (" b", -9999.0))),)
    before = outcome(tokens=tokens)
    assert before.tokens == tokens
    assert Outcome.from_json(json.loads(json.dumps(before.to_json()))) == before
    assert "tokens" not in outcome().to_json()


@pytest.mark.parametrize(
    ("finish_reason", "state"),
    [
        ("stop", "answered"),
        ("length", "answered"),
        ("tool_calls", "answered"),
        ("refusal", "refused"),
        ("content_filter", "refused"),
    ],
)
def test_a_refusal_is_a_state(finish_reason, state):
    assert outcome(finish_reason).state == state
