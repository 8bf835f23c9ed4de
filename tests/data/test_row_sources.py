"""Tests of `rlaif_jax.data.row_sources`."""

import pytest

from rlaif_jax.data.manifest import read_manifest
from rlaif_jax.data.row_sources import ManifestSource, MemorySource, manifest_head
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import CorruptDataError, PreemptedError, UsageError


@pytest.fixture
def folder(tmp_path, preference):
    with ShardWriter(tmp_path / "prefs") as writer:
        for k in range(3):
            writer.add([preference(10 * k + i) for i in range(2)])
    return tmp_path / "prefs"


def test_only_polling_makes_new_shards_known(folder, preference):
    heads = iter([(1, False), (1, False), (3, False), (3, True)])
    source = ManifestSource(
        folder, wait_s=5.0, poll=lambda: next(heads), sleep=lambda _: None
    )
    assert source.num_shards() == (1, False)
    source.wait()
    assert source.num_shards() == (3, False)
    source.wait()
    assert source.num_shards() == (3, True)


def test_a_folder_that_does_not_grow_preempts_after_the_same_polls_everywhere(folder):
    slept = []
    source = ManifestSource(folder, wait_s=5.0, poll_every_s=2.0, sleep=slept.append)
    with pytest.raises(PreemptedError, match=r"not sealed shard 3 in .* within 5 s"):
        source.wait()
    assert slept == [2, 2, 2]


def test_a_shard_that_this_host_sees_late_is_waited_for(folder, preference):
    def sleep(_):
        with ShardWriter(folder) as writer:
            writer.add([preference(99)])

    told = ManifestSource(folder, wait_s=3.0, poll=lambda: (4, False), sleep=sleep)
    assert told.rows(3) == (preference(99),)


def test_a_shard_that_this_host_never_sees_preempts(folder):
    source = ManifestSource(
        folder, wait_s=3.0, poll=lambda: (9, False), sleep=lambda _: None
    )
    with pytest.raises(PreemptedError, match="shows 3 of 9 sealed shards on this host"):
        source.rows(8)


def test_decoded_shards_stay_in_memory_the_oldest_goes_first(folder):
    source = ManifestSource(folder, wait_s=0.0, cached_shards=2)
    first = source.rows(0)
    assert source.rows(1) and source.rows(0) is first
    assert source.rows(2) and source.rows(0) is first  # 1 went, as it was older
    assert source.rows(1) and source.rows(0) == first


def test_rows_are_verified_when_they_are_read(folder):
    source = ManifestSource(folder, wait_s=0.0)
    path = folder / read_manifest(folder).entries[1].file
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert source.num_rows(1) == 2 and source.rows(0)
    with pytest.raises(CorruptDataError, match="000001"):
        source.rows(1)


def test_a_hash_of_more_than_is_sealed_is_corrupt_data(folder):
    source = ManifestSource(folder, wait_s=0.0)
    assert source.prefix_hash(3) == read_manifest(folder).hashes[3]
    with pytest.raises(CorruptDataError, match="3 sealed shards, but 4 were read"):
        source.prefix_hash(4)


def test_no_folder_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="check the path"):
        ManifestSource(tmp_path / "gone", wait_s=0.0)


def test_the_head_is_what_the_manifest_says(folder):
    assert manifest_head(folder) == (3, False)
    with ShardWriter(folder) as writer:
        writer.finish()
    assert manifest_head(folder) == (3, True)


def test_records_in_memory_are_one_final_shard():
    source = MemorySource("abc", fingerprint="f")
    assert source.num_shards() == (1, True)
    assert source.num_rows(0) == 3 and source.rows(0) == "abc"
    assert source.prefix_hash(0) == "" and source.prefix_hash(1) == "f"
    with pytest.raises(IndexError, match="shard 1 of 1"):
        source.rows(1)
    with pytest.raises(IndexError, match="do not grow"):
        source.wait()
