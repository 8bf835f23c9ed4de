"""Tests of `rlaif_jax.labeling.verdict_tokens`."""

import math

import pytest

from rlaif_jax.labeling.alpaca_eval import TokenGrammar
from rlaif_jax.labeling.chat import Token
from rlaif_jax.labeling.verdict_tokens import verdict_odds
from rlaif_jax.labeling.verdicts import LineGrammar

FIRST = LineGrammar()


def token(text, **top):
    """A token among alternatives with these probabilities; blanks are underscores."""
    likely = {name.replace("_", " "): p for name, p in (top or {text: 1.0}).items()}
    logps = tuple((name, math.log(p)) for name, p in likely.items())
    return Token(text, dict(logps).get(text, -1.0), logps)


def odds(reply, *tokens, grammar=FIRST):
    return verdict_odds(reply, tokens, grammar)


def test_the_letters_token_tells_both_probabilities():
    # P(a) = .6, P(b) = .2, something else .2: (a) has .75 of .8
    letter = token("a", a=0.6, b=0.2, both=0.2)
    p_a, mass = odds("Output (a)", token("Output"), token(" ("), letter, token(")"))
    assert p_a == pytest.approx(0.75)
    assert mass == pytest.approx(0.8)


def test_it_is_the_probability_of_a_whatever_was_said():
    letter = token("b", a=0.6, b=0.2)
    p_a, _ = odds("Output (b)", token("Output"), token(" ("), letter, token(")"))
    assert p_a == pytest.approx(0.75)


@pytest.mark.parametrize(
    "tokens",
    [
        [token("Output (a)", **{"Output_(a)": 0.6, "Output_(b)": 0.2})],
        [token("Output"), token(" (a", **{"_(a": 0.5, "_(b": 0.2, "_(a)": 0.1})],
        [token("Out"), token("put ("), token("a)", **{"a)": 0.6, "b)": 0.2})],
        [token("\n"), token("Output ("), token("a", a=0.6, b=0.2), token(")</s>")],
    ],
)
def test_tokens_may_be_cut_anywhere(tokens):
    p_a, mass = odds("Output (a)", *tokens, *[token("\n")] * 2)
    assert (p_a, mass) == (pytest.approx(0.75), pytest.approx(0.8))


def test_what_does_not_begin_a_verdict_does_not_count():
    likely = {"a": 0.3, "b": 0.1, "about": 0.2, "bc": 0.2, "c": 0.1, "[b": 0.1}
    p_a, mass = odds("Output (a)", token("Output ("), token("a", **likely), token(")"))
    assert (p_a, mass) == (pytest.approx(0.75), pytest.approx(0.4))


def test_what_was_said_counts_though_it_is_not_among_the_likely():
    said = Token("a", math.log(0.01), (("b", math.log(0.03)), ("x", math.log(0.9))))
    p_a, mass = odds("a", said)
    assert (p_a, mass) == (pytest.approx(0.25), pytest.approx(0.04))


def test_certainty_is_no_more_than_certain():
    sure = Token("a", 0.0, (("a", 0.0), ("b", -9999.0)))
    assert odds("a", sure) == (1.0, 1.0)


def test_a_longer_label_is_decided_where_it_differs():
    grammar = LineGrammar(labels=("first one", "second one"))
    fork = token("se", se=0.5, fir=0.25, sec=0.1, firm=0.1, s=0.05)
    p_a, mass = odds("second one", fork, token("cond one"), grammar=grammar)
    # `firm` begins neither; .25 of .25 + .65
    assert (p_a, mass) == (pytest.approx(0.25 / 0.9), pytest.approx(0.9))


def test_parts_of_characters_are_joined():
    halves = ["é".encode()[:1], "é".encode()[1:]]
    halves = [token(one.decode("utf-8", "surrogateescape")) for one in halves]
    grammar = LineGrammar(labels=("éa", "éb"))
    p_a, _ = odds("éa", *halves, token("a", a=0.5, b=0.5), grammar=grammar)
    assert p_a == pytest.approx(0.5)


def test_a_reply_without_verdict_has_no_odds():
    assert odds("Both.", token("Both"), token(".")) is None
    assert odds("Output (a)\nOutput (b)", token("Output (a)\nOutput (b)")) is None


def test_alpaca_evals_tokens_count_whatever_was_said():
    grammar = TokenGrammar(("m", "M"))
    p_a, mass = odds("The", token("The", The=0.5, m=0.3, M=0.1), grammar=grammar)
    assert (p_a, mass) == (pytest.approx(0.75), pytest.approx(0.4))
    p_a, _ = odds("m", token("m", m=0.9, x=0.1), grammar=grammar)  # M missing: 0
    assert p_a == 1.0
    assert odds("The", token("The", The=1.0), grammar=grammar) is None


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [token("<think>"), token("Output (a)")],
        [token("Output")],
        [token("Outpux (a)")],
    ],
)
def test_tokens_that_spell_something_else_are_refused(tokens):
    with pytest.raises(ValueError, match="do not spell its verdict"):
        odds("Output (a)", *tokens)
