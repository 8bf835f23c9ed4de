"""Tests of `rlaif_jax.files`."""

import gzip

import pytest

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import (
    file_sha256,
    read_json,
    read_records,
    read_text,
    write_atomic,
    write_json,
    write_records,
)
from rlaif_jax.records import Message, Prompt


def prompt(text: str) -> Prompt:
    return Prompt.create((Message(role="user", content=text),), source="test")


def test_an_atomic_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_records_come_back_equal(tmp_path):
    prompts = [prompt("naïve \u2028 line"), prompt('quote " and \n newline')]
    write_records(tmp_path / "p.jsonl", prompts)
    assert list(read_records(tmp_path / "p.jsonl", Prompt)) == prompts


def test_a_bad_line_is_named_with_its_number(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(prompt("a").model_dump_json() + '\n{"prompt_id": 3}\n')
    with pytest.raises(CorruptDataError, match=r"p\.jsonl:2 is not a Prompt"):
        list(read_records(path, Prompt))


def test_missing_files_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="no Prompt file at"):
        list(read_records(tmp_path / "none", Prompt))
    with pytest.raises(UsageError, match="no settings at"):
        read_json(tmp_path / "none", "settings")


def test_json_must_be_an_object(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"b": 1, "a": 2})
    assert read_json(path, "x") == {"a": 2, "b": 1}
    path.write_text("[1]")
    with pytest.raises(CorruptDataError, match="holds list"):
        read_json(path, "x")
    path.write_text("{")
    with pytest.raises(CorruptDataError, match="not valid JSON"):
        read_json(path, "x")


def test_gzip_is_unpacked_and_garbage_refused(tmp_path):
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b"hello"))
    assert read_text(path) == "hello"
    path.write_bytes(b"hello")
    with pytest.raises(CorruptDataError, match=r"x\.json\.gz"):
        read_text(path)


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")
