"""Tests of `rlaif_jax.data.order`."""

import json
from itertools import chain

import numpy as np
import pytest

from rlaif_jax.data.order import Position, RowStream, shuffled
from rlaif_jax.data.row_sources import ManifestSource, MemorySource
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import CorruptDataError, UsageError

SIZES = (5, 0, 3, 1, 4)  # 13 rows


def seal(folder, preference, sizes=SIZES, *, finish=True):
    with ShardWriter(folder) as writer:
        for k in range(len(writer.manifest.entries), len(sizes)):
            writer.add([preference(100 * k + i) for i in range(sizes[k])])
        if finish:
            writer.finish()
    return folder


@pytest.fixture
def folder(tmp_path, preference):
    return seal(tmp_path / "prefs", preference)


def stream(folder, *, epochs=2, position=None, batch_size=4, seed=7):
    return RowStream(
        ManifestSource(folder, wait_s=0.0),
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
        position=position,
    )


def ids(batches):
    return [[row.pair_id for row in batch.records] for batch in batches]


def test_epochs_follow_without_a_seam_and_only_the_last_batch_is_dropped(folder):
    batches = list(stream(folder))
    assert [len(batch.records) for batch in batches] == [4] * 6  # 26 // 4
    assert stream(folder).num_batches == 6
    flat = list(chain.from_iterable(ids(batches)))
    assert len(set(flat[:13])) == 13  # the first epoch has each row once
    assert len(set(flat[13:])) == 11


def test_shards_keep_their_order_and_rows_are_shuffled_inside(folder, preference):
    rows = chain.from_iterable(
        batch.records for batch in stream(folder, epochs=1, batch_size=1)
    )
    numbers = [int(row.prompt[0].content.split()[1]) for row in rows]
    assert [n // 100 for n in numbers] == [0] * 5 + [2] * 3 + [3] + [4] * 4
    expected = [
        100 * k + int(i)
        for k, size in enumerate(SIZES)
        for i in shuffled(size, seed=7, epoch=0, shard=k)
    ]
    assert numbers == expected and numbers != sorted(numbers)


def test_epochs_and_seeds_have_orders_of_their_own(folder):
    one = ids(stream(folder, batch_size=13))
    other = ids(stream(folder, batch_size=13, seed=8))
    assert len({tuple(order) for order in one + other}) == 4


@pytest.mark.parametrize("batch_size", [1, 4, 5, 13])
def test_resumed_at_any_position_is_uninterrupted(folder, batch_size):
    whole = list(stream(folder, batch_size=batch_size))
    for n, batch in enumerate(whole):
        saved = json.loads(json.dumps(batch.position.to_json()))
        position = Position.from_json(saved)
        rest = list(stream(folder, batch_size=batch_size, position=position))
        assert rest == whole[n + 1 :]


def test_a_run_resumed_at_its_start_is_the_run(folder):
    start = stream(folder).start
    assert list(stream(folder, position=start)) == list(stream(folder))


@pytest.mark.parametrize("sealed", range(len(SIZES) + 1))
def test_a_growing_folder_gives_the_batches_of_the_finished_one(
    tmp_path, folder, preference, sealed
):
    growing = seal(tmp_path / "g", preference, SIZES[:sealed], finish=False)
    sizes = list(SIZES[:sealed])

    def sleep(_):
        sizes.extend(SIZES[len(sizes) : len(sizes) + 1])
        seal(growing, preference, sizes, finish=len(sizes) == len(SIZES))

    source = ManifestSource(growing, wait_s=10.0, sleep=sleep)
    grown = RowStream(source, batch_size=4, epochs=2, seed=7)
    assert list(grown) == list(stream(folder))


def test_positions_do_not_depend_on_what_was_sealed_when(tmp_path, folder, preference):
    early = list(stream(folder, epochs=1))[1].position
    growing = seal(tmp_path / "g", preference, SIZES[:3], finish=False)
    resumed = RowStream(
        ManifestSource(growing, wait_s=0.0),
        batch_size=4,
        epochs=2,
        seed=7,
        position=early,
    )
    assert resumed.num_batches is None
    seal(growing, preference)
    assert list(stream(growing, position=early)) == list(stream(folder))[2:]


def test_data_that_changed_before_the_position_is_corrupt(tmp_path, folder, preference):
    batches = list(stream(folder))
    other = seal(tmp_path / "o", preference, (5, 0, 2, 1, 5))
    for n, batch in enumerate(batches):
        if n == 0:  # 4 of 5 rows of shard 0, which is the same in both
            assert ids(stream(other, position=batch.position))
            continue
        with pytest.raises(CorruptDataError, match="has changed since the checkpoint"):
            stream(other, position=batch.position)


def test_a_folder_that_lost_shards_is_corrupt(tmp_path, folder, preference):
    position = list(stream(folder))[2].position
    shorter = seal(tmp_path / "s", preference, SIZES[:2], finish=False)
    with pytest.raises(CorruptDataError, match="2 sealed shards, but 5 were read"):
        stream(shorter, position=position)


def test_another_seed_than_the_positions_is_refused(folder):
    with pytest.raises(UsageError, match="started with seed 7, not 8"):
        stream(folder, seed=8, position=Position(seed=7))
    with pytest.raises(UsageError, match="seed is -1"):
        stream(folder, seed=-1)


@pytest.mark.parametrize(("sizes", "epochs"), [((), 3), ((0, 0), 2), ((2,), 1)])
def test_data_that_fills_no_batch_is_a_usage_error(tmp_path, preference, sizes, epochs):
    small = seal(tmp_path, preference, sizes)
    with pytest.raises(UsageError, match="does not fill one batch of 4"):
        list(stream(small, epochs=epochs))


def test_a_few_rows_fill_batches_over_several_epochs(tmp_path, preference):
    small = seal(tmp_path, preference, (3,))
    assert len(list(stream(small, epochs=3))) == 2  # 9 // 4


def test_records_in_memory_are_streamed_alike():
    source = MemorySource(list("abcdefg"), fingerprint="x")
    batches = list(RowStream(source, batch_size=3, epochs=2, seed=0))
    flat = "".join(chain.from_iterable(batch.records for batch in batches))
    assert len(batches) == 4 and sorted(flat[:7]) == list("abcdefg")
    for n, batch in enumerate(batches):
        rest = RowStream(
            source, batch_size=3, epochs=2, seed=0, position=batch.position
        )
        assert list(rest) == batches[n + 1 :]
    changed = MemorySource(list("abcdefg"), fingerprint="y")
    with pytest.raises(CorruptDataError, match="has changed"):
        RowStream(changed, batch_size=3, epochs=2, seed=0, position=batches[0].position)


@pytest.mark.parametrize(
    "document",
    [{"shard": -1}, {"rows": 3}, {"row": 1.5}, {"epoch": True}, {"seed": None}],
)
def test_what_is_not_a_position_is_corrupt_data(document):
    with pytest.raises(CorruptDataError, match="not a data position"):
        Position.from_json(document)


def test_a_shuffle_is_a_permutation_that_never_changes():
    order = shuffled(6, seed=1, epoch=2, shard=3)
    assert sorted(order) == list(range(6))
    # written down from NumPy 2.4.6: another version must not reorder a run's data
    assert order.tolist() == [1, 2, 4, 5, 0, 3]
    assert shuffled(0, seed=0, epoch=0, shard=0).shape == (0,)
    orders = [
        shuffled(50, seed=seed, epoch=epoch, shard=shard)
        for seed, epoch, shard in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    assert len({order.tobytes() for order in orders}) == 4
    assert np.array_equal(orders[0], shuffled(50, seed=0, epoch=0, shard=0))
