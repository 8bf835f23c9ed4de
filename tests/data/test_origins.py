"""Tests of `rlaif_jax.data.origins`."""

import hashlib
from pathlib import Path

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.origins import origin


def test_files_are_told_by_their_hash(made_up):
    path = made_up("hh")
    told = origin(SourceConfig(format="hh", path=path), "c0ffee")
    sha256 = hashlib.sha256(Path(path, "train.jsonl").read_bytes()).hexdigest()
    assert told == {
        "format": "hh",
        "path": path,
        "reader": "file",
        "content_sha256": "c0ffee",
        "files": {"train.jsonl": sha256},
    }


def test_a_data_set_is_told_by_its_version(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    source = SourceConfig(format="hh", path=made_up("hh"), reader="huggingface")
    told = origin(source, "x")
    assert told["reader"] == "huggingface"
    assert {"version", "revision"} <= told.keys()


@pytest.mark.parametrize(
    ("format", "names", "read"),
    [
        ("hh", ["train.jsonl", "test.jsonl", "README.md"], ["train.jsonl"]),
        (
            "parquet",
            ["a.parquet", "b.parquet", "notes.txt"],
            ["a.parquet", "b.parquet"],
        ),
        (
            "teacher",
            ["x_gpt4_completions.json", ".y_gpt4_completions.json", "z.json"],
            ["x_gpt4_completions.json"],
        ),
    ],
)
def test_only_the_files_that_are_read_are_told(tmp_path, format, names, read):
    for name in names:
        (tmp_path / name).write_text(name)
    told = origin(SourceConfig(format=format, path=str(tmp_path)), "x")
    assert sorted(told["files"]) == read
