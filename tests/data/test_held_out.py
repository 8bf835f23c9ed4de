"""Tests of `rlaif_jax.data.held_out`."""

import pytest

from rlaif_jax.data.held_out import LaterShards
from rlaif_jax.data.order import RowStream
from rlaif_jax.data.row_sources import ManifestSource, MemorySource
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import CorruptDataError, UsageError


@pytest.fixture
def writer(tmp_path):
    with ShardWriter(tmp_path / "prefs") as writer:
        yield writer


def add(writer, preference, *numbers):
    writer.add([preference(n) for n in numbers])


def test_a_stream_never_yields_what_is_held_out(writer, preference, tmp_path):
    for k in range(4):
        add(writer, preference, 2 * k, 2 * k + 1)
    writer.finish()
    source = LaterShards(ManifestSource(tmp_path / "prefs", wait_s=0.0), skipped=2)
    stream = RowStream(source, batch_size=2, epochs=2, seed=0)
    assert stream.num_batches == 4
    seen = [record for batch in stream for record in batch.records]
    expected = [preference(n) for n in (4, 5, 6, 7)] * 2
    assert sorted(seen, key=repr) == sorted(expected, key=repr)


def test_shards_are_held_out_before_any_is_sealed(writer, preference, tmp_path):
    def grow(_):
        add(writer, preference, len(writer.manifest.entries))
        if len(writer.manifest.entries) == 3:
            writer.finish()

    source = ManifestSource(tmp_path / "prefs", wait_s=9.0, sleep=grow)
    later = LaterShards(source, skipped=1)
    assert later.num_shards() == (0, False)
    stream = RowStream(later, batch_size=1, epochs=1, seed=0)
    seen = [batch.records[0] for batch in stream]
    assert seen == [preference(1), preference(2)]


def test_a_position_depends_on_what_is_held_out_too(writer, preference, tmp_path):
    for k in range(3):
        add(writer, preference, k)
    source = ManifestSource(tmp_path / "prefs", wait_s=0.0)
    one, two = (LaterShards(source, skipped=k) for k in (1, 2))
    assert one.prefix_hash(2) == two.prefix_hash(1) == source.prefix_hash(3)
    assert one.prefix_hash(0) == source.prefix_hash(0)
    first = next(iter(RowStream(one, batch_size=1, epochs=1, seed=0)))
    with pytest.raises(CorruptDataError, match="has changed since the checkpoint"):
        RowStream(two, batch_size=1, epochs=1, seed=0, position=first.position)


def test_holding_out_all_there_will_be_is_refused():
    source = MemorySource([1, 2, 3], fingerprint="x")
    with pytest.raises(
        UsageError, match=r"have 1 shards, and validation\.shards=1 leaves"
    ):
        LaterShards(source, skipped=1)
