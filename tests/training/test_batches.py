"""Tests of `rlaif_jax.training.batches`."""

import numpy as np
import pytest

from rlaif_jax.data.encoded import EncodedExample, EncodedPair, Fate
from rlaif_jax.data.order import RowStream
from rlaif_jax.data.packing import Example, Pair, pack
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.errors import CorruptDataError, InternalError
from rlaif_jax.training.batches import Batches, place_rows, require_known


def stream():
    source = MemorySource(list(range(10)), fingerprint="ten")
    return RowStream(source, batch_size=4, epochs=1, seed=0)


def test_the_position_is_after_what_was_handed_out():
    batches = Batches(stream(), list, 2)
    assert batches.position.row == 0
    first = next(batches)
    assert batches.position.row == 4
    second = next(batches)
    assert batches.position.row == 8
    assert [len(part) for part in (*first, *second)] == [2] * 4
    assert len({record for part in (*first, *second) for record in part}) == 8
    assert next(batches, None) is None


def test_a_batch_that_fails_to_load_does_not_count():
    def load(parts):
        raise InternalError("no")

    batches = Batches(stream(), load, 1)
    with pytest.raises(InternalError):
        next(batches)
    assert batches.position.row == 0


def test_rows_are_split_over_the_devices(eight_devices):
    examples = [Example([2 + i], [3, 1] * 2) for i in range(8)]
    rows = pack(examples, length=8, multiple=8)
    placed = place_rows(rows, eight_devices)
    np.testing.assert_array_equal(placed.token_ids, rows.token_ids)
    assert placed.token_ids.addressable_shards[0].data.shape == (1, 8)


class ReadOnce(list):
    """Ids that count how often they are read."""

    reads = 0

    def __iter__(self):
        self.reads += 1
        return super().__iter__()


def test_ids_of_texts_are_read_once_and_not_in_every_step():
    pair = Pair(ReadOnce([2]), ReadOnce([9, 1]), ReadOnce([3]))
    example = Example(ReadOnce([2]), ReadOnce([1, 9]))
    encoded = [
        EncodedPair.create(pair, Fate((False,) * 3, (True,) * 2)),
        EncodedExample.create(example, Fate((False,) * 2, (True,))),
    ]
    for item in encoded:
        for _ in range(3):
            require_known([item], vocab_size=10)
            with pytest.raises(
                CorruptDataError, match=r"token id 9 is outside .* of 9"
            ):
                require_known([item], vocab_size=9)
    assert {ids.reads for ids in (*pair, *example)} == {1}


def test_ids_outside_the_vocabulary_are_refused():
    examples = [Example([2], [9, 1])]
    require_known(examples, vocab_size=10)
    with pytest.raises(CorruptDataError, match=r"token id 9 is outside .* of 9"):
        require_known(examples, vocab_size=9)
