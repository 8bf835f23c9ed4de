"""Tests of `rlaif_jax.records`."""

import pydantic
import pytest

from rlaif_jax.records import (
    Comparison,
    Completion,
    Grade,
    Message,
    Prompt,
    content_hash,
)

QUESTION = (Message(role="user", content="2+2?"),)


def test_an_id_depends_on_content_alone():
    one = Prompt.create(QUESTION, source="a", split="sft")
    two = Prompt.create(QUESTION, source="b", split="test")
    assert one.prompt_id == two.prompt_id
    other = Prompt.create((Message(role="user", content="2+3?"),), source="a")
    assert other.prompt_id != one.prompt_id


def test_the_order_of_a_pair_counts():
    prompt = Prompt.create(QUESTION, source="a")
    a = Completion.create(prompt.prompt_id, "4", generator="x")
    b = Completion.create(prompt.prompt_id, "5", generator="x")
    assert Comparison.create(prompt, a, b) != Comparison.create(prompt, b, a)
    pairs = {Comparison.create(prompt, *pair).pair_id for pair in ((a, b), (b, a))}
    assert len(pairs) == 2


def test_hash_parts_do_not_run_together():
    assert content_hash("ab", "c") != content_hash("a", "bc")


def test_a_lone_surrogate_can_be_hashed():
    assert len(content_hash("\ud800")) == 32


def test_unknown_fields_are_refused():
    with pytest.raises(pydantic.ValidationError):
        Message.model_validate({"role": "user", "content": "x", "name": "y"})


@pytest.mark.parametrize(("field", "value"), [("turn", 3), ("state", "grade")])
def test_a_grade_is_of_a_turn_and_in_a_state_that_there_are(field, value):
    fields = {"question_id": 81, "category": "math", "turn": 2, "order": ""}
    fields |= {"value": 7.0, "state": "graded", "grader": "judge", "reply": "[[7]]"}
    fields |= {"grader_returned_model": "judge", "template_hash": "x"}
    good = Grade.model_validate(fields)
    assert Grade.model_validate_json(good.model_dump_json()) == good
    with pytest.raises(pydantic.ValidationError, match=f"{field}\n"):
        Grade.model_validate(fields | {field: value})
