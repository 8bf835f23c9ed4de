"""Tests of `rlaif_jax.checkpoint.integrity`."""

import pytest

from rlaif_jax.checkpoint import integrity
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json, write_json


@pytest.fixture
def sealed(tmp_path):
    folder = tmp_path / "7"
    (folder / "arrays").mkdir(parents=True)
    (folder / "arrays" / "a").write_bytes(bytes(range(256)))
    (folder / "arrays" / "b").write_bytes(b"\0" * 100)
    (folder / "meta").write_bytes(b"{}")
    integrity.seal(folder)
    return folder


def test_a_sealed_folder_is_intact(sealed):
    assert integrity.is_sealed(sealed)
    integrity.verify(sealed)
    files = read_json(sealed / integrity.NAME, "seal")["files"]
    assert files.keys() == {"arrays/a", "arrays/b", "meta"}
    assert files["arrays/a"]["bytes"] == 256


def test_every_flipped_byte_is_found(sealed):
    path = sealed / "arrays" / "a"
    whole = path.read_bytes()
    for position in range(0, 256, 17):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(CorruptDataError, match=r"arrays/a .* SHA-256"):
            integrity.verify(sealed)


def test_truncated_missing_and_added_files_are_named(sealed):
    (sealed / "arrays" / "b").write_bytes(b"\0" * 99)
    with pytest.raises(CorruptDataError, match="has 99 bytes, not 100"):
        integrity.verify(sealed)
    (sealed / "arrays" / "b").unlink()
    with pytest.raises(CorruptDataError, match="arrays/b is missing"):
        integrity.verify(sealed)
    (sealed / "arrays" / "b").write_bytes(b"\0" * 100)
    (sealed / "arrays" / "c").write_bytes(b"")
    with pytest.raises(CorruptDataError, match="arrays/c does not belong"):
        integrity.verify(sealed)


def test_two_swapped_files_are_found(sealed):
    a, b = sealed / "arrays" / "a", sealed / "arrays" / "b"
    held = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(held)
    with pytest.raises(CorruptDataError, match="arrays/"):
        integrity.verify(sealed)


def test_a_damaged_seal_is_damage_too(sealed):
    (sealed / integrity.NAME).write_text('{"files": {')
    with pytest.raises(CorruptDataError, match="not valid JSON"):
        integrity.verify(sealed)
    write_json(sealed / integrity.NAME, {"files": {"meta": 3}})
    with pytest.raises(CorruptDataError):
        integrity.verify(sealed)
    write_json(sealed / integrity.NAME, {"files": None})
    with pytest.raises(CorruptDataError, match="lists no files"):
        integrity.verify(sealed)


def test_dot_files_of_the_file_system_do_not_count(sealed):
    (sealed / "arrays" / ".nfs0001").write_bytes(b"x")
    integrity.verify(sealed)
