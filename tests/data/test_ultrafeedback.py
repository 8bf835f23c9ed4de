"""Tests of `rlaif_jax.data.ultrafeedback`."""

import json

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.ultrafeedback import read_ultrafeedback
from rlaif_jax.errors import CorruptDataError


def read(path, **options):
    source = SourceConfig(format="ultrafeedback", path=str(path), **options)
    return [
        one.dropped
        or (one.messages[-1].content, one.rivals[0].chosen, one.rivals[0].rejected)
        for one in read_ultrafeedback(source)
    ]


def test_both_answers_of_a_prompt_from_conversations(made_up):
    assert read(made_up("ultrafeedback.jsonl")) == [
        ("Name a colour.", "Blue.", "Seven."),
        ("Name a bird.", "A wren.", " "),
    ]


def test_the_prompt_is_taken_off_the_front_of_text(made_up):
    found = read(made_up("ultrafeedback_text.jsonl"))
    assert found == [("Name a fish.", " A pike.", " A dog.")]


def turn(role, content):
    return {"role": role, "content": content}


def test_two_prompts_in_one_row_are_no_pair(tmp_path):
    sides = {
        name: [turn("user", name), turn("assistant", "x")]
        for name in ("chosen", "rejected")
    }
    (tmp_path / "x.jsonl").write_text(json.dumps(sides) + "\n")
    assert read(tmp_path / "x.jsonl") == ["different_prompts"]


def test_a_side_without_answer_is_corrupt_data(tmp_path):
    sides = {"chosen": [turn("user", "q")], "rejected": [turn("user", "q")]}
    (tmp_path / "x.jsonl").write_text(json.dumps(sides) + "\n")
    with pytest.raises(CorruptDataError, match="'chosen' does not end with an answer"):
        read(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    ("scores", "undecided"),
    [
        ({"score_chosen": 7.5, "score_rejected": 7.5}, 1),
        ({"score_chosen": 8, "score_rejected": 7.5}, 0),
        ({}, 0),
        ({"score_chosen": None, "score_rejected": None}, 0),
    ],
)
def test_answers_of_the_same_score_are_no_pair(tmp_path, scores, undecided):
    sides = {
        name: [turn("user", "q"), turn("assistant", name)]
        for name in ("chosen", "rejected")
    }
    (tmp_path / "x.jsonl").write_text(json.dumps(sides | scores) + "\n")
    source = SourceConfig(format="ultrafeedback", path=str(tmp_path / "x.jsonl"))
    (exchange,) = read_ultrafeedback(source)
    assert (exchange.answer, exchange.undecided) == ("chosen", undecided)
    assert len(exchange.rivals) == 1 - undecided
