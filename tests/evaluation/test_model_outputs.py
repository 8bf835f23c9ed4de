"""Tests of `rlaif_jax.evaluation.model_outputs`."""

import json
from pathlib import Path

import pytest

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.evaluation.model_outputs import is_model_outputs, read_model_outputs
from rlaif_jax.records import Message, Prompt


def asked(*texts):
    return [
        Prompt.create((Message(role="user", content=text),), source="x")
        for text in texts
    ]


def row(instruction, output="an answer", **fields):
    return {"instruction": instruction, "output": output, "generator": "m"} | fields


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "model_outputs.json"
        path.write_text(json.dumps(rows))
        return path

    return write


def test_outputs_come_in_the_order_of_the_prompts(write):
    path = write(row("b", "of b"), row("a", "of a", dataset="x"), row("c"))
    prompts = asked("a", "b")
    found = read_model_outputs(path, prompts)
    assert [one.text for one in found] == ["of a", "of b"]
    assert [one.prompt_id for one in found] == [one.prompt_id for one in prompts]
    assert {one.generator for one in found} == {"m"}


def test_missing_outputs_are_counted(write):
    with pytest.raises(UsageError, match="lacks outputs of 2 of 3 prompts, 'b' the"):
        read_model_outputs(write(row("a")), asked("a", "b", "c"))


def test_repeated_instructions_are_counted(write):
    path = write(row("a"), row("a", "another"), row("b"))
    with pytest.raises(CorruptDataError, match="several outputs of 1 of 2 instruct"):
        read_model_outputs(path, asked("b"))


@pytest.mark.parametrize("field", ["instruction", "output", "generator"])
def test_a_row_without_its_texts_is_named(write, field):
    broken = row("a")
    del broken[field]
    with pytest.raises(CorruptDataError, match=f"row 1: {field} is None"):
        read_model_outputs(write(row("b"), broken), asked("b"))


def test_records_have_another_ending():
    assert is_model_outputs(Path("a/model_outputs.json"))
    assert is_model_outputs(Path("model_outputs.json.gz"))
    assert not is_model_outputs(Path("completions.jsonl"))
