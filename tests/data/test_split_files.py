"""Tests of `rlaif_jax.data.split_files`."""

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.split_files import require_paths, split_of, split_paths
from rlaif_jax.errors import UsageError


def source(path, **options):
    return SourceConfig(format="hh", path=str(path), **options)


def folder(path, *names):
    for name in names:
        (path / name).touch()
    return path


def chosen(path, **options):
    found = split_paths(source(path, **options), (".jsonl", ".jsonl.gz", ".parquet"))
    return [file.name for file in found]


@pytest.mark.parametrize("split", ["train", "test"])
def test_files_of_other_splits_are_not_read(tmp_path, split):
    folder(tmp_path, "train.jsonl.gz", "test.jsonl.gz", "validation.jsonl.gz")
    assert chosen(tmp_path, split=split) == [f"{split}.jsonl.gz"]


def test_numbered_files_of_a_split_are_read_together(tmp_path):
    names = [f"train_prefs-0000{n}-of-00002.parquet" for n in range(2)]
    folder(tmp_path, *names, "train_sft-00000-of-00001.parquet", "test_prefs.parquet")
    assert chosen(tmp_path, split="train_prefs") == names
    with pytest.raises(UsageError, match=r"of train_prefs, train_sft, of which split"):
        chosen(tmp_path)


def test_a_split_is_the_start_of_a_name_if_no_other_begins_so(tmp_path):
    folder(tmp_path, "train_sft-00000-of-00001.parquet", "test_sft.parquet")
    assert chosen(tmp_path) == ["train_sft-00000-of-00001.parquet"]


@pytest.mark.parametrize("names", [["test.jsonl", "dev.jsonl"], ["eval.jsonl"]])
def test_a_folder_of_other_splits_alone_is_refused(tmp_path, names):
    with pytest.raises(UsageError, match="'train' is not one: set source"):
        chosen(folder(tmp_path, *names))


def test_a_folder_whose_files_name_no_split_is_read_whole(tmp_path):
    folder(tmp_path, "a.jsonl", "b-00000-of-00001.jsonl", ".c.jsonl", "notes.md")
    assert chosen(tmp_path) == ["a.jsonl", "b-00000-of-00001.jsonl"]
    assert [file.name for file in require_paths(source(tmp_path), (".md",))] == [
        "notes.md"
    ]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("test.jsonl", "test"),
        ("validation-00000-of-00001.parquet", "validation"),
        ("dev.json", "validation"),
        ("rows.json", "train"),
    ],
)
def test_a_file_called_for_a_held_out_split_stays_held_out(tmp_path, name, split):
    file = folder(tmp_path, name) / name
    assert split_of(source(file), file) == split
    assert chosen(file) == [name]


def test_what_is_asked_for_as_held_out_is_so_whatever_its_file_is_called(tmp_path):
    file = folder(tmp_path, "rows.jsonl") / "rows.jsonl"
    assert split_of(source(file, split="test_prefs"), file) == "test"
