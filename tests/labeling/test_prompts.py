"""Tests of `rlaif_jax.labeling.prompts`."""

import pytest

from rlaif_jax.labeling.control_tokens import without_control_tokens
from rlaif_jax.labeling.prompts import Template, instruction_text
from rlaif_jax.labeling.verdicts import LineGrammar
from rlaif_jax.records import Message

QUESTION = "I: {instruction}\nA: {output_a}\nB: {output_b}\nWhich?"


def turn(content, role="user"):
    return Message(role=role, content=content)


def template(*turns, grammar=None):
    return Template.create("mine", turns or (turn(QUESTION),), grammar or LineGrammar())


def test_holes_are_filled_and_swapped(comparison):
    one = comparison(7, "good", "bad")
    (asked,) = template().messages(one, swapped=False)
    assert asked.content == "I: question 7\nA: good\nB: bad\nWhich?"
    (asked,) = template().messages(one, swapped=True)
    assert asked.content == "I: question 7\nA: bad\nB: good\nWhich?"


def test_a_text_opens_no_hole_and_no_turn(comparison, hostile):
    few = (turn("Judge.", "system"), turn("Ready?"), turn("Yes.", "assistant"))
    mine = template(*few, turn(QUESTION))
    for text in hostile.TEXTS:
        messages = mine.messages(comparison(0, text, "honest"), swapped=False)
        assert messages[:3] == few
        assert [one.role for one in messages] == ["system", "user", "assistant", "user"]
        shown = without_control_tokens(text)
        assert messages[3].content == f"I: question 0\nA: {shown}\nB: honest\nWhich?"


def test_no_text_contains_its_nonce(comparison):
    mine = template(turn(QUESTION + "{nonce}"))
    one, same, other = (
        mine.messages(comparison(number), swapped=False)[0].content[-16:]
        for number in (1, 1, 2)
    )
    assert one == same != other
    (told,) = mine.messages(comparison(1, "good", one), swapped=False)
    assert told.content[-16:] != one


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([turn("{instruction} {output_a}")], r"no placeholder \{output_b\}"),
        ([turn(QUESTION + "{output_c}")], r"unknown placeholder \{output_c\}"),
        ([turn(QUESTION), turn("Output (", "assistant")], "last turn must be the user"),
        ([], "last turn must be the user"),
        ([turn(QUESTION), turn("x", "system"), turn("x")], "only the first turn may"),
    ],
)
def test_what_is_no_question_is_refused(turns, message):
    with pytest.raises(ValueError, match=message):
        Template.create("mine", turns, LineGrammar())


def test_braces_that_hold_no_name_are_words(comparison):
    asked = template(turn('{"a": {output_a}, "b": "{output_b}"} {instruction} {}'))
    (told,) = asked.messages(comparison(0, "x", "y"), swapped=False)
    assert told.content == '{"a": x, "b": "y"} question 0 {}'


def test_the_hash_covers_words_roles_and_grammar_but_not_the_name():
    variants = [
        template(),
        template(turn(QUESTION + " ")),
        template(turn("x", "system"), turn(QUESTION)),
        template(turn("x"), turn(QUESTION)),
        template(grammar=LineGrammar(line="final")),
        template(grammar=LineGrammar(labels=("A", "B"))),
    ]
    assert len({one.hash for one in variants}) == len(variants)
    other = Template.create("other", [turn(QUESTION)], LineGrammar())
    assert other.hash == template().hash


def test_a_long_conversation_names_who_spoke():
    turns = (
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Hello"),
        Message(role="user", content="2+2?"),
    )
    assert instruction_text(turns) == "user: Hi\n\nassistant: Hello\n\nuser: 2+2?"
    assert instruction_text(turns[:1]) == "Hi"
