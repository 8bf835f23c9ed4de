"""Tests of `rlaif_jax.labeling.constraints`."""

import json

import pytest

from rlaif_jax.config_endpoints import CriticConfig, EndpointConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.alpaca_eval import RankingGrammar, RegexGrammar, TokenGrammar
from rlaif_jax.labeling.chat import Token
from rlaif_jax.labeling.constraints import (
    ExactGrammar,
    JsonGrammar,
    constrained,
    constraint_of,
    verdict_schema,
    whole_choices,
)
from rlaif_jax.labeling.prompts import Template
from rlaif_jax.labeling.verdict_tokens import verdict_odds
from rlaif_jax.labeling.wording import RATIONALE, VERDICT

CHOICES = ("Output (a)", "Output (b)")
EXACT, OBJECT = ExactGrammar(CHOICES), JsonGrammar(CHOICES)


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Output (a)", "a"),
        ("Output (b)", "b"),
        ("Output (a).", None),
        ("Output (a)\n", None),
        (" Output (a)", None),
        ("a", None),
        ("", None),
    ],
)
def test_an_exact_verdict_is_one_to_the_last_character(reply, choice):
    assert EXACT.choice(reply) == choice


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ('{"verdict": "Output (a)"}', "a"),
        ('\n{"verdict":"Output (b)"}\n', "b"),
        ('{"verdict": "Output \\u0028a)"}', "a"),
        ('{"verdict": "Output (a)", "verdict": "Output (b)"}', None),
        ('{"verdict": "Output (a)", "why": "x"}', None),
        ('{"Verdict": "Output (a)"}', None),
        ('{"verdict": "(a)"}', None),
        ('{"verdict": ["Output (a)"]}', None),
        ('{"verdict": {"verdict": "Output (a)"}}', None),
        ('["verdict", "Output (a)"]', None),
        ('[["verdict", "Output (a)"]]', None),
        ('{"verdict": "Output (a)"} Output (b)', None),
        ('{"verdict": "Output (a)"', None),
        ("Output (a)", None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_a_verdict_in_json_is_one_key_and_one_choice(reply, choice):
    assert OBJECT.choice(reply) == choice


def test_what_candidates_may_write_breaks_no_grammar(hostile):
    for text in [*hostile.TEXTS, *hostile.replies(2000, seed=5)]:
        assert EXACT.choice(text) is None or text in CHOICES
        if OBJECT.choice(text) is not None:
            assert json.loads(text)["verdict"] in CHOICES
        assert OBJECT.choice(json.dumps({"verdict": text})) is EXACT.choice(text)


@pytest.mark.parametrize(
    ("grammar", "reply", "head"),
    [
        (EXACT, "Output (b)", "Output ("),
        (OBJECT, '{"verdict": "Output (b)"}', '{"verdict": "Output ('),
        (OBJECT, ' {"verdict":"Output (b)"}', ' {"verdict":"Output ('),
        (JsonGrammar(("é", "ü")), '{"verdict": "ü"}', '{"verdict": "'),
        (JsonGrammar(("é", "ü")), '{"verdict": "\\u00fc"}', '{"verdict": "\\u00'),
    ],
)
def test_soft_verdicts_are_read_where_the_choices_part(grammar, reply, head):
    fork = grammar.fork(reply)
    assert fork is not None
    said = reply[len(head)]
    other = next(tail[0] for tail in fork.tails if tail[0] != said)
    top = ((said, -0.5), (other, -1.5))
    tokens = (Token(head, 0.0, ()), Token(said, -0.5, top))
    odds = verdict_odds(reply, tokens, grammar)
    assert odds is not None and odds.p_a == pytest.approx(0.2689414)  # 1 / (1 + e)
    assert [tail[0] for tail in fork.tails] == [other, said]


@pytest.mark.parametrize(
    ("grammar", "reply"),
    [
        (EXACT, "Both"),
        (OBJECT, "{}"),
        (OBJECT, '{"verdict": "Output \\u0028a)"}'),
    ],
)
def test_a_reply_without_such_a_place_has_no_fork(grammar, reply):
    assert grammar.fork(reply) is None


def test_a_template_takes_the_grammar_of_its_constraint_and_another_hash():
    assert constrained(VERDICT, "none") is VERDICT
    exact = constrained(VERDICT, "structured_outputs")
    schema = constrained(VERDICT, "json_schema")
    assert (exact.grammar, schema.grammar) == (EXACT, OBJECT)
    assert len({VERDICT.hash, exact.hash, schema.hash}) == 3
    assert exact.turns == VERDICT.turns


def test_labels_come_from_the_template():
    tokens = Template.create("t", VERDICT.turns, TokenGrammar(("m", "M")))
    assert whole_choices(tokens, "x") == ("m", "M")
    assert constrained(tokens, "json_schema").grammar == JsonGrammar(("m", "M"))


@pytest.mark.parametrize(
    "template",
    [
        RATIONALE,
        Template.create("regex", VERDICT.turns, RegexGrammar("a", "b")),
        Template.create("ranking", VERDICT.turns, RankingGrammar()),
    ],
)
def test_a_template_whose_verdict_is_not_the_whole_reply_is_refused(template):
    message = f"constrain=json_schema does not go with template {template.name}"
    with pytest.raises(UsageError, match=message):
        constrained(template, "json_schema")


def test_only_a_constrained_critic_is_constrained():
    fields = {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    assert constraint_of(EndpointConfig(**fields), None) is None
    assert constraint_of(CriticConfig(**fields), CHOICES) is None
    critic = CriticConfig(constrain="json_schema", **fields)
    assert constraint_of(critic, CHOICES) == ("json_schema", CHOICES)


def test_a_schema_allows_one_key_and_the_choices():
    assert verdict_schema(("A", "B")) == {
        "type": "object",
        "properties": {"verdict": {"type": "string", "enum": ["A", "B"]}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
