"""Tests of `rlaif_jax.files`."""

import gzip
import json

import pytest

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import (
    file_sha256,
    read_json,
    read_json_lines,
    read_json_list,
    read_records,
    read_text,
    require_file,
    require_writable,
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


def test_packed_and_plain_lists_read_alike(tmp_path):
    items = [{"instruction": "é\u2028"}]
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_text(json.dumps(items))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_json_list(plain, "file") == items == read_json_list(packed, "file")


def test_a_missing_list_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no ShareGPT file at .*gone\.json"):
        read_json_list(tmp_path / "gone.json", "ShareGPT file")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"garbage", "is not valid JSON"),
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"a": 1}', "holds dict, not a list"),
        (b"[{}, 3]", "row 1 is int"),
        (b'["\xff"]', "cannot read"),
    ],
)
def test_garbage_for_a_list_is_corrupt_data(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match=reason) as caught:
        read_json_list(path, "file")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_damaged_byte_in_a_packed_list_is_corrupt_data(tmp_path, at):
    path = tmp_path / "a.json.gz"
    whole = bytearray(gzip.compress(json.dumps([{"a": "b" * 90, "c": 1}]).encode()))
    whole[-1 - at % len(whole)] ^= 0x55
    path.write_bytes(whole)
    try:
        read = read_json_list(path, "file")
    except CorruptDataError:
        return
    assert read == [{"a": "b" * 90, "c": 1}]  # a header's unused field


def test_a_truncated_packed_list_is_corrupt_data(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"[]" + b" " * 100)[:-9])
    with pytest.raises(CorruptDataError, match="cannot read"):
        read_json_list(path, "file")


def test_an_output_folder_that_cannot_be_written_is_refused(tmp_path):
    require_writable(tmp_path / "new" / "run")
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UsageError, match="file is a file: choose a folder"):
            require_writable(path)


def test_a_folder_where_a_file_is_wanted_is_told(tmp_path):
    with pytest.raises(UsageError, match="is a folder, and a config is a file"):
        require_file(tmp_path, "config")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_json_lines_are_objects_and_where_they_stand(tmp_path, name):
    path = tmp_path / name
    text = '{"a": "x\u2028y"}\n\n{"a": 2}'.encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert list(read_json_lines(path, "list")) == [
        (f"{path}:1", {"a": "x\u2028y"}),
        (f"{path}:3", {"a": 2}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{', r"a\.jsonl:2 is not JSON"),
        ("a.jsonl", b"\n[1]", r"a\.jsonl:2 is list, not an object"),
        ("a.jsonl", b'{"a": "\xff"}', r"cannot read .*a\.jsonl"),
        ("a.jsonl.gz", b"plain", r"cannot read .*a\.jsonl\.gz"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}')[:-9], "cannot read"),
    ],
)
def test_damaged_json_lines_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorruptDataError, match=message):
        list(read_json_lines(tmp_path / name, "list"))


def test_missing_json_lines_are_told(tmp_path):
    with pytest.raises(UsageError, match="no question file at"):
        list(read_json_lines(tmp_path / "none.jsonl", "question file"))
