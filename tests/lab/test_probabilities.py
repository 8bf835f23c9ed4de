"""A verdict's probability survives being told as tokens."""

import math

import pytest

from rlaif_jax.lab.probabilities import spell, tokens_json


@pytest.mark.parametrize("reply", ["Output (a)", '{"verdict": "Output (b)"}'])
@pytest.mark.parametrize("p_first", [0.0, 0.3, 1.0])
def test_the_letter_of_a_verdict_tells_its_probability(reply, p_first):
    rows = tokens_json(spell(reply, p_first), reply)
    assert "".join(row["token"] for row in rows) == reply
    letter = rows[1]
    assert bytes(letter["bytes"]).decode() == letter["token"] in "ab"
    top = {row["token"]: math.exp(row["logprob"]) for row in letter["top_logprobs"]}
    assert top["a"] == pytest.approx(p_first, abs=1e-8)
    assert top["b"] == pytest.approx(1.0 - p_first, abs=1e-8)
    assert letter["logprob"] == math.log(max(top[letter["token"]], 1e-9))


def test_nothing_is_told_of_what_is_no_verdict():
    assert spell("I do not know.", 0.5) == ()


def test_a_cut_reply_has_the_tokens_that_are_left():
    tokens = spell("Output (a)", 0.5)
    assert [row["token"] for row in tokens_json(tokens, "Output (a")] == [
        "Output (",
        "a",
    ]
    assert tokens_json(tokens, "Outp") == []
