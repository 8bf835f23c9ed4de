"""Tests of `rlaif_jax.labeling.batches`."""

import json

import pytest

from rlaif_jax.errors import CorruptDataError, InternalError
from rlaif_jax.labeling.batches import Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batches.jsonl"


def write(path):
    """A batch that was read, one that was created, and one that was planned."""
    journal = Journal(path)
    entries = [journal.plan("judge") for _ in range(3)]
    for entry in entries[:2]:
        journal.note(entry, "uploaded", size=5, file="file-1")
        journal.note(entry, "created", id=f"batch-{entry.name}")
    journal.note(entries[0], "ended")
    journal.note(entries[0], "ingested")
    return journal


def test_what_was_noted_is_read_again(path):
    journal = write(path)
    again = Journal(path)
    assert again.entries == journal.entries
    assert [one.state for one in again.entries] == ["ingested", "created", "planned"]
    assert (again.entries[1].size, again.entries[1].file) == (5, "file-1")
    assert again.unfinished("judge") == again.entries[1:]
    assert not again.unfinished("somebody else")
    names = [one.name for one in [*again.entries, again.plan("judge")]]
    assert len(set(names)) == 4


def test_nothing_is_made_before_the_first_batch(path):
    assert not Journal(path).entries and not path.exists()


def test_every_torn_prefix_opens_and_goes_on(path):
    write(path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        journal = Journal(path)
        kept = path.read_bytes()
        assert whole.startswith(kept) and kept.count(b"\n") == whole[:size].count(b"\n")
        journal.plan("judge")
        assert Journal(path).entries == journal.entries


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "[]",
        '{"kind":"created","batch":"nobody","at":1.0,"id":"x"}',
        '{"kind":"lost","batch":"NAME","at":1.0}',
        '{"kind":"ended","batch":"NAME"}',
    ],
)
def test_damage_in_the_middle_is_corrupt_data(path, line):
    name = write(path).entries[0].name
    lines = path.read_text().splitlines()
    lines.insert(2, line.replace("NAME", name))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(CorruptDataError, match=r"batches\.jsonl:3"):
        Journal(path)


def test_each_line_is_on_the_disk_before_the_next_step(path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(path.read_bytes()))
    journal = Journal(path)
    journal.note(journal.plan("judge"), "uploaded", size=1, file="")
    kinds = [json.loads(one.splitlines()[-1])["kind"] for one in synced]
    assert kinds[0] == "planned" and kinds[-1] == "uploaded"


def test_a_folder_that_takes_nothing_is_named(tmp_path):
    with pytest.raises(InternalError, match=r"cannot write .*gone/batches\.jsonl"):
        Journal(tmp_path / "gone" / "batches.jsonl").plan("judge")
