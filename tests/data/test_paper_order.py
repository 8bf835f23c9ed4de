"""Tests of `rlaif_jax.data.paper_order`."""

from itertools import chain

import pytest

from rlaif_jax.data.order import Position
from rlaif_jax.data.paper_order import PaperStream, paper_shuffled
from rlaif_jax.data.row_sources import ManifestSource, MemorySource
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import CorruptDataError, PreemptedError, UsageError


def stream(records, *, position=None, **options):
    source = MemorySource(records, fingerprint="f")
    usual = {"batch_size": 4, "epochs": 3, "seed": 0}
    return PaperStream(source, position=position, **(usual | options))


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0, [8, 7, 2, 4, 1, 5, 3, 9, 0, 6]),
        (1, [1, 2, 8, 3, 9, 5, 6, 4, 0, 7]),
        (2, [0, 2, 7, 4, 6, 1, 5, 9, 3, 8]),
    ],
)
def test_ten_rows_come_as_in_the_authors_code(epoch, expected):
    assert paper_shuffled(10, seed=0, epoch=epoch) == expected


def test_every_epoch_leaves_out_what_does_not_fill_a_batch():
    batches = list(stream(range(10)))
    assert [batch.records for batch in batches] == [
        (8, 7, 2, 4),
        (1, 5, 3, 9),  # 0 and 6 are left out
        (1, 2, 8, 3),
        (9, 5, 6, 4),
        (0, 2, 7, 4),
        (6, 1, 5, 9),
    ]
    assert stream(range(10)).num_batches == 6


def test_a_run_goes_on_from_any_batch_as_if_unbroken():
    whole = list(stream(range(10)))
    for number, batch in enumerate(whole):
        position = Position.from_json(batch.position.to_json())
        rest = list(stream(range(10), position=position))
        assert rest == whole[number + 1 :]


def test_an_epoch_is_done_with_its_last_full_batch():
    positions = [batch.position for batch in stream(range(10))]
    done = [stream(range(10)).epochs_done(one) for one in positions]
    assert done == [0, 1, 1, 2, 2, 3]


def test_epochs_that_fill_no_batch_are_refused_though_all_together_would():
    with pytest.raises(UsageError, match="does not fill one batch of 4"):
        list(stream(range(3)))


def test_a_source_that_has_changed_is_noticed():
    position = next(iter(stream(range(10)))).position
    changed = MemorySource(range(10), fingerprint="other")
    with pytest.raises(CorruptDataError, match="has changed"):
        PaperStream(changed, batch_size=4, epochs=3, seed=0, position=position)


def test_shards_are_one_list_that_is_waited_for(tmp_path, preference):
    with ShardWriter(tmp_path) as writer:
        for start in (0, 3, 5):
            end = {0: 3, 3: 5, 5: 10}[start]
            writer.add([preference(n) for n in range(start, end)])

        def finish(_):
            writer.finish()

        growing = ManifestSource(tmp_path, wait_s=9.0, sleep=finish)
        grown = PaperStream(growing, batch_size=5, epochs=1, seed=0)
        assert grown.num_batches is None

        rows = chain.from_iterable(batch.records for batch in grown)

        numbers = [int(row.prompt[0].content.split()[1]) for row in rows]
    assert numbers == [8, 7, 2, 4, 1, 5, 3, 9, 0, 6]


def test_a_source_that_never_ends_is_given_up(tmp_path, preference):
    with ShardWriter(tmp_path) as writer:
        writer.add([preference(n) for n in range(10)])
    source = ManifestSource(tmp_path, wait_s=2.0, sleep=lambda _: None)
    with pytest.raises(PreemptedError, match="has not sealed shard 1"):
        list(PaperStream(source, batch_size=5, epochs=1, seed=0))
