"""The order of the paper's code: one list, shuffled in place epoch after epoch.

Sharma et al. 2024, arXiv:2402.12366. Its data loader draws a seed for each epoch with
NumPy's first generator, seeded by 0, and shuffles by Python's `random`; both keep
their streams between versions.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Generic

import numpy as np

from rlaif_jax.data.order import Batch, Position, RecordT, RowStream, Source


def paper_shuffled(num_rows: int, *, seed: int, epoch: int) -> list[int]:
    """Which row comes when in an epoch, counted from 0.

    Every epoch shuffles what the one before it has left, so the order depends on all
    of them.
    """
    # as many as needed of the million that the authors draw
    draws = np.random.RandomState(seed).randint(
        0, 2**32, size=epoch + 1, dtype=np.int64
    )
    order = list(range(num_rows))
    for draw in draws:
        random.Random(int(draw)).shuffle(order)
    return order


class PaperStream(RowStream[RecordT]):
    """Batches in the paper's order.

    The records of all shards are one list, which is complete before the first batch
    and stays in memory. The rows that do not fill a batch are left out at the end of
    every epoch. The authors' seed is 0.
    """

    is_whole_every_epoch = False  # what one leaves out, another has

    def __init__(
        self,
        source: Source[RecordT],
        *,
        batch_size: int,
        epochs: int,
        seed: int,
        position: Position | None = None,
    ):
        """Prepares as a `RowStream` does; a growing source is waited for."""
        super().__init__(
            _Whole(source),
            batch_size=batch_size,
            epochs=epochs,
            seed=seed,
            position=position,
        )

    @property
    def num_batches(self) -> int | None:
        """Batches of all epochs; None while the source grows."""
        if not self._source.num_shards()[1]:
            return None
        return self._source.num_rows(0) // self._batch_size * self._epochs

    def __iter__(self) -> Iterator[Batch[RecordT]]:
        """Every full batch from the start position on.

        Raises:
          UsageError: If an epoch does not fill one batch.
          PreemptedError: If the source stops growing before its end.
        """
        current = self._settle(self.start)
        self._require_a_batch()
        while current is not None:
            rows = self._source.rows(0)
            order = paper_shuffled(len(rows), seed=current.seed, epoch=current.epoch)
            following = replace(current, row=0, epoch=current.epoch + 1)
            last = len(rows) // self._batch_size * self._batch_size
            for row in range(current.row, last, self._batch_size):
                end = row + self._batch_size
                after = replace(current, row=end) if end < last else following
                records = tuple(rows[i] for i in order[row:end])
                yield Batch(records, self._stamped(after))
            current = self._settle(following)


class _Whole(Generic[RecordT]):
    """A source as one shard, once it is complete."""

    def __init__(self, source: Source[RecordT]):
        self._source = source
        self._rows: Sequence[RecordT] | None = None

    def num_shards(self) -> tuple[int, bool]:
        """One, or none yet."""
        is_final = self._source.num_shards()[1]
        return (int(is_final), is_final)

    def num_rows(self, shard: int) -> int:
        """Of all shards together."""
        del shard
        return sum(map(self._source.num_rows, self._shards()))

    def rows(self, shard: int) -> Sequence[RecordT]:
        """Those of all shards, in their order."""
        del shard
        if self._rows is None:
            every = map(self._source.rows, self._shards())
            self._rows = tuple(chain.from_iterable(every))
        return self._rows

    def prefix_hash(self, num_shards: int) -> str:
        """A hash of everything, or of nothing."""
        return self._source.prefix_hash(len(self._shards()) if num_shards else 0)

    def wait(self) -> None:
        """Returns when more is known than before."""
        self._source.wait()

    def _shards(self) -> range:
        """The numbers of all shards."""
        return range(self._source.num_shards()[0])
