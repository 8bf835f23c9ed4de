"""Tests of `rlaif_jax.data.teacher_files`."""

import json

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.teacher_files import read_teacher
from rlaif_jax.errors import CorruptDataError, UsageError


def read(path, **options):
    source = SourceConfig(format="teacher", path=str(path), **options)
    return [(one.messages[0].content, one.answer) for one in read_teacher(source)]


def test_each_instruction_has_its_first_text(made_up):
    file = made_up("teacher/sharegpt1turn_df1.0_ff0_gpt4_completions.json")
    expected = [
        ("What is snow?", "Frozen water."),
        ("Count to three.", "1 2 3"),
        ("Empty?", ""),
    ]
    assert read(file) == expected
    # the folder's other file was put aside by a dot
    assert read(made_up("teacher")) == expected


def test_a_fraction_is_of_all_files_together(tmp_path):
    for name, count in (("b", 4), ("a", 3)):
        texts = {f"{name}{i}": [f"text {name}{i}"] for i in range(count)}
        (tmp_path / f"{name}_gpt4_completions.json").write_text(json.dumps(texts))
    (tmp_path / "notes.json").write_text("{}")
    asked = [instruction for instruction, _ in read(tmp_path, data_fraction=0.6)]
    assert asked == ["a0", "a1", "a2", "b0"]  # int(4.2) of 7, by name


@pytest.mark.parametrize("written", ["text", [], [1], None])
def test_another_format_is_corrupt_data_that_names_the_instruction(tmp_path, written):
    path = tmp_path / "x_completions.json"
    path.write_text(json.dumps({"Why?": written}))
    with pytest.raises(CorruptDataError, match="'Why\\?' has no list of texts"):
        read(path)


def test_a_folder_without_such_files_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no _completions\.json file at"):
        read(tmp_path)


def test_a_folder_of_two_teachers_is_refused(tmp_path):
    for name in ("sharegpt1turn_df1.0_ff0_gpt4", "sharegpt1turn_df1.0_ff0_claude"):
        (tmp_path / f"{name}_completions.json").write_text("{}")
    with pytest.raises(UsageError, match="several teachers, claude, gpt4: name one"):
        read(tmp_path)
    assert read(tmp_path / "sharegpt1turn_df1.0_ff0_gpt4_completions.json") == []
