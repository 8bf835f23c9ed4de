"""Tests of `rlaif_jax.labeling.outcome`."""

import dataclasses
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


def test_faults_survive_the_ledger_and_are_in_it_only_if_there_were_any():
    before = dataclasses.replace(outcome(), faults={"garbage": 1, "rate_limit": 2})
    assert Outcome.from_json(json.loads(json.dumps(before.to_json()))) == before
    assert "faults" not in outcome().to_json()


def test_tokens_survive_the_ledger_and_are_in_it_only_if_there_are_any():
    tokens = (Token("Out\udcc3", -0.5, (("a", -0.5), (" b", -9999.0))),)
    before = outcome(tokens=tokens)
    assert before.tokens == tokens
    assert Outcome.from_json(json.loads(json.dumps(before.to_json()))) == before
    assert "tokens" not in outcome().to_json()


def test_what_some_servers_tell_survives_the_ledger_and_is_in_it_only_if_told():
    told = {"odds": (0.75, 0.25), "service_tier": "flex", "system_fingerprint": "fp_1"}
    answer = Answer(
        text="",
        finish_reason="refusal",
        returned_model="m-1",
        usage=None,
        request_id="r",
        refusal="frontier_llm",
        **told,
    )
    before = Outcome.of_answer(answer, cost_usd=0.0, uncertain_usd=0.0, attempts=1)
    after = Outcome.from_json(json.loads(json.dumps(before.to_json())))
    assert after == before and after.odds == (0.75, 0.25)
    assert (after.state, after.error) == ("refused", "frontier_llm")
    assert not told.keys() & outcome().to_json().keys()


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
