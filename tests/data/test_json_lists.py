"""Tests of `rlaif_jax.data.json_lists`."""

import gzip
import json

import pytest

from rlaif_jax.data.json_lists import read_json_list
from rlaif_jax.errors import CorruptDataError, UsageError


def test_packed_and_plain_files_read_alike(tmp_path):
    items = [{"instruction": "é\u2028"}]
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_text(json.dumps(items))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_json_list(plain, "file") == items == read_json_list(packed, "file")


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no ShareGPT file at .*gone\.json"):
        read_json_list(tmp_path / "gone.json", "ShareGPT file")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"garbage", "is not valid JSON"),
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"a": 1}', "holds dict, a list was expected"),
        (b"[{}, 3]", "item 1 is int"),
        (b'["\xff"]', "cannot read"),
    ],
)
def test_garbage_is_corrupt_data(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match=reason) as caught:
        read_json_list(path, "file")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_damaged_byte_in_a_packed_file_is_corrupt_data(tmp_path, at):
    path = tmp_path / "a.json.gz"
    whole = bytearray(gzip.compress(json.dumps([{"a": "b" * 90, "c": 1}]).encode()))
    whole[-1 - at % len(whole)] ^= 0x55
    path.write_bytes(whole)
    try:
        read = read_json_list(path, "file")
    except CorruptDataError:
        return
    assert read == [{"a": "b" * 90, "c": 1}]  # a header's unused field


def test_a_truncated_packed_file_is_corrupt_data(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"[]" + b" " * 100)[:-9])
    with pytest.raises(CorruptDataError, match="cannot read"):
        read_json_list(path, "file")
