"""The Decisions format, without a network."""

import json

import pytest

from rlaif_jax.lab.decisions import decide_body
from rlaif_jax.lab.wire import WireError

QUESTION = {
    "type": "choice",
    "instructions": "Which?",
    "choices": [{"value": "Output (a)"}, {"value": "Output (b)"}],
}


def decide(p=0.25, **changes):
    document = {"model": "m", "input": "12345678", "questions": [QUESTION]}
    seen = []

    def p_first(model, text):
        seen.append((model, text))
        return p

    reply = decide_body(json.dumps(document | changes).encode(), p_first)
    return json.loads(reply), seen


def test_every_question_is_answered_in_its_order():
    turned = QUESTION | {"choices": QUESTION["choices"][::-1], "name": "again"}
    reply, seen = decide(questions=[QUESTION, turned])
    assert seen == [("m", "12345678")]
    first, second = reply["answers"]
    assert first["probabilities"] == [
        {"value": "Output (a)", "probability": 0.25},
        {"value": "Output (b)", "probability": 0.75},
    ]
    assert second["probabilities"] == first["probabilities"][::-1]
    assert (first["choice"], first["confidence"]) == ("Output (b)", 0.75)
    assert (first["name"], second["name"]) == (None, "again")
    assert reply["usage"]["input_tokens"] == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"questions": []}, "1 to 400"),
        ({"questions": [QUESTION] * 401}, "1 to 400"),
        ({"questions": None}, "1 to 400"),
        ({"questions": ["x"]}, "type choice"),
        ({"questions": [QUESTION | {"type": "score"}]}, "type choice"),
        ({"questions": [QUESTION | {"instructions": ""}]}, "instructions"),
        ({"questions": [QUESTION | {"choices": [{"value": "A"}]}]}, "choices"),
        ({"questions": [QUESTION | {"choices": 7}]}, "choices"),
        ({"questions": [QUESTION | {"choices": [{"value": []}] * 2}]}, "choices"),
        ({"input": []}, "input"),
        ({"model": None}, "model"),
    ],
)
def test_what_the_lab_does_not_do_is_refused_by_name(changes, named):
    with pytest.raises(WireError, match=named) as caught:
        decide(**changes)
    assert caught.value.status == 400
