"""Tests of `rlaif_jax.data.manifest`."""

import hashlib
import json

import pytest

from rlaif_jax.data.manifest import GENESIS, ManifestHead, read_manifest
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import CorruptDataError, UsageError


@pytest.fixture
def folder(tmp_path, preference):
    with ShardWriter(tmp_path / "prefs") as writer:
        for k in range(3):
            writer.add([preference(10 * k + i) for i in range(k + 1)])
        writer.finish()
    return tmp_path / "prefs"


def lines_of(folder):
    return (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)


def test_each_line_names_the_one_before(folder):
    lines = [line.rstrip(b"\n") for line in lines_of(folder)]
    previous = [json.loads(line)["previous"] for line in lines]
    hashes = [hashlib.sha256(line).hexdigest() for line in lines]
    assert previous == [hashlib.sha256(b"").hexdigest(), *hashes[:-1]]
    assert list(json.loads(lines[0])) == [
        *("seq", "file", "rows", "bytes", "sha256", "previous")
    ]
    final = {"final": True, "shards": 3, "rows": 6, "previous": hashes[2]}
    assert json.loads(lines[3]) == final


def test_a_manifest_says_what_is_sealed(folder):
    manifest = read_manifest(folder)
    assert manifest.head == ManifestHead(num_shards=3, is_final=True)
    assert [entry.rows for entry in manifest.entries] == [1, 2, 3]
    assert manifest.num_rows == 6
    assert manifest.hashes[0] == GENESIS and len(manifest.hashes) == 4


def test_every_cut_is_a_shorter_manifest_and_a_torn_line_does_not_count(folder):
    path = folder / "manifest.jsonl"
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        head = read_manifest(folder).head
        assert head == ManifestHead(content[:size].count(b"\n"), False)


def test_no_manifest_is_a_usage_error(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UsageError, match=r"no manifest\.jsonl in"):
            read_manifest(folder)


def test_any_changed_byte_before_the_last_line_is_noticed(folder):
    path = folder / "manifest.jsonl"
    content = path.read_bytes()
    for at in range(len(content) - len(lines_of(folder)[-1])):
        damaged = bytearray(content)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CorruptDataError, match=r"manifest\.jsonl:\d"):
            read_manifest(folder)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 2, 3), (0, 1, 3), (0, 0, 1)])
def test_swapped_lost_and_repeated_lines_are_noticed(folder, order):
    lines = lines_of(folder)
    (folder / "manifest.jsonl").write_bytes(b"".join(lines[i] for i in order))
    with pytest.raises(CorruptDataError, match="changed, lost or swapped"):
        read_manifest(folder)


def test_nothing_follows_the_final_line(folder):
    lines = lines_of(folder)
    (folder / "manifest.jsonl").write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(CorruptDataError, match="5 follows the final line"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", "", "a\\b"])
def test_a_file_name_with_a_path_in_it_is_refused(tmp_path, name):
    line = {"seq": 0, "file": name, "rows": 0, "bytes": 0, "sha256": "", "previous": ""}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(CorruptDataError, match="not a plain file name"):
        read_manifest(tmp_path)
