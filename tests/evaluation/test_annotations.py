"""Tests of `rlaif_jax.evaluation.annotations`."""

import json

import pytest

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.evaluation.annotations import outcome, read_outcomes, read_preferences
from rlaif_jax.records import Message, Prompt


@pytest.fixture
def write(tmp_path):
    def write(document):
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(document))
        return path

    return write


def row(preference, instruction="Say hi."):
    return {"instruction": instruction, "output_1": "a", "preference": preference}


def test_every_kind_of_verdict_is_read(write):
    path = write([row(value) for value in (0, 1, 2.0, 1.5, 1.25, None, -1)])
    assert read_preferences(path) == [1.5, 1, 2, 1.5, 1.25, None, None]


def test_a_draw_is_half_a_win():
    assert [outcome(value) for value in (0, 1.5, 1, 2, None)] == [0.5, 0.5, 0, 1, None]


def test_outcomes_have_the_ids_of_our_prompts(write):
    prompt = Prompt.create((Message(role="user", content="Say hi."),), source="x")
    assert read_outcomes(write([row(2)])) == {prompt.prompt_id: 1.0}


@pytest.mark.parametrize("bad", ["2", True, False, 3, 0.5, -2, [1], float("nan")])
def test_a_preference_off_the_scale_names_its_row(write, bad):
    with pytest.raises(CorruptDataError, match="row 1: preference is"):
        read_preferences(write([row(1), row(bad)]))


@pytest.mark.parametrize("document", [{"a": 1}, 3, "text", [1], [None]])
def test_what_is_no_list_of_rows_is_corrupt(write, document):
    with pytest.raises(CorruptDataError):
        read_preferences(write(document))


def test_a_row_without_preference_is_named(write):
    with pytest.raises(CorruptDataError, match="row 0 has no preference"):
        read_preferences(write([{"instruction": "x"}]))


@pytest.mark.parametrize("instruction", [None, 3, ["x"]])
def test_an_instruction_that_is_no_text_names_its_row(write, instruction):
    with pytest.raises(CorruptDataError, match="row 0: instruction"):
        read_outcomes(write([row(1, instruction)]))


def test_a_repeated_instruction_cannot_be_paired(write):
    with pytest.raises(CorruptDataError, match="row 1 repeats"):
        read_outcomes(write([row(1), row(2)]))


def test_a_missing_file_is_the_users_mistake(tmp_path):
    with pytest.raises(UsageError, match="no annotation file"):
        read_preferences(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000])
def test_broken_json_is_corrupt(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(CorruptDataError, match="not valid JSON"):
        read_preferences(path)
