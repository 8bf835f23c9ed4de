"""The order in which a training run sees its records: a function of a position."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int64

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.typing import Json

RecordT = TypeVar("RecordT")
RecordT_co = TypeVar("RecordT_co", covariant=True)


@runtime_checkable
class Source(Protocol[RecordT_co]):
    """Records in numbered shards; shards are only ever added, at the end."""

    def num_shards(self) -> tuple[int, bool]:
        """How many shards are known, and whether these are all."""
        ...

    def num_rows(self, shard: int) -> int:
        """Rows of a known shard, without reading them."""
        ...

    def rows(self, shard: int) -> Sequence[RecordT_co]:
        """The records of a known shard."""
        ...

    def prefix_hash(self, num_shards: int) -> str:
        """A hash of the first shards' content."""
        ...

    def wait(self) -> None:
        """Returns when more is known than before."""
        ...


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a run stands in its data; saved with the checkpoint.

    Attributes:
      shard: Shard to be read next.
      row: Rows of its shuffled order that are done.
      epoch: Passes over all shards that are done.
      seed: Of the shuffle.
      manifest_hash: Of every shard read so far, the one under way included.
    """

    shard: int = 0
    row: int = 0
    epoch: int = 0
    seed: int = 0
    manifest_hash: str = ""

    def to_json(self) -> Json:
        """The position as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Json) -> "Position":
        """The position that `to_json` wrote.

        Raises:
          CorruptDataError: If it is not one.
        """
        try:
            position = cls(**document)
        except TypeError as error:
            raise CorruptDataError(f"not a data position: {document}") from error
        counts = (position.shard, position.row, position.epoch, position.seed)
        if not all(type(count) is int and count >= 0 for count in counts):
            raise CorruptDataError(f"not a data position: {document}")
        return position


class Batch(NamedTuple, Generic[RecordT]):
    """Records of one step, and the position after them."""

    records: tuple[RecordT, ...]
    position: Position


class RowStream(Generic[RecordT]):
    """Batches of a source's records, the same from any position on any host.

    Shards come in their order, the rows of each shuffled by (seed, epoch, shard);
    epochs follow without a seam, and only the last batch may be dropped for being
    short. Nothing depends on how much of a growing source was there at what time.

    Attributes:
      start: The position of the first batch.
      is_whole_every_epoch: Whether an epoch has every record, but for those of the
        run's last batch.
    """

    is_whole_every_epoch = True

    def __init__(
        self,
        source: Source[RecordT],
        *,
        batch_size: int,
        epochs: int,
        seed: int,
        position: Position | None = None,
    ):
        """Prepares to read on from a position, or from the start.

        Args:
          source: The records.
          batch_size: Records of a batch, over all hosts.
          epochs: Passes over the source, counted from the start.
          seed: Of the shuffle.
          position: As saved with a checkpoint.

        Raises:
          UsageError: If the seed is negative, or not the position's.
          CorruptDataError: If the source has changed before the position.
        """
        if seed < 0:
            raise UsageError(f"seed is {seed}: it must be 0 or more")
        if position is not None and position.seed != seed:
            raise UsageError(
                f"the data order was started with seed {position.seed}, not {seed}:"
                " set seed back, or train into a new folder"
            )
        self._source = source
        self._batch_size = batch_size
        self._epochs = epochs
        self.start = position or self._stamped(Position(seed=seed))
        if self.start != self._stamped(self.start):
            raise CorruptDataError(
                f"the data before shard {self.start.shard}, row {self.start.row}, epoch"
                f" {self.start.epoch} has changed since the checkpoint: restore it, or"
                " train into a new folder"
            )

    @property
    def num_batches(self) -> int | None:
        """Batches from the source's start to its end; None while it grows."""
        num_shards, is_final = self._source.num_shards()
        if not is_final:
            return None
        rows = sum(self._source.num_rows(shard) for shard in range(num_shards))
        return rows * self._epochs // self._batch_size

    def epochs_done(self, position: Position) -> int:
        """How many passes are complete at a position.

        A growing source may have to tell first whether a pass ends there: waits for
        it as reading on would.

        Raises:
          PreemptedError: If the source stops growing before its end.
        """
        settled = self._settle(position)
        return self._epochs if settled is None else settled.epoch

    def __iter__(self) -> Iterator[Batch[RecordT]]:
        """Every full batch from the start position on.

        Raises:
          UsageError: At the end, if all of the source does not fill one batch.
          PreemptedError: If the source stops growing before its end.
        """
        pending: list[RecordT] = []
        current = self._settle(self.start)
        while current is not None:
            rows = self._source.rows(current.shard)
            order = shuffled(
                len(rows), seed=current.seed, epoch=current.epoch, shard=current.shard
            )
            end = min(len(rows), current.row + self._batch_size - len(pending))
            pending += [rows[i] for i in order[current.row : end]]
            current = _after(current, end, len(rows))
            if len(pending) == self._batch_size:
                yield Batch(tuple(pending), self._stamped(current))
                pending = []
            current = self._settle(current)
        self._require_a_batch()

    def _require_a_batch(self) -> None:
        """Refuses data that gives nothing to train on."""
        if self.num_batches == 0:
            raise UsageError(
                f"the data does not fill one batch of {self._batch_size} in"
                f" {self._epochs} epochs: lower batch_size or add records"
            )

    def _settle(self, position: Position) -> Position | None:
        """The position of the next unread row, waited for; None at the end."""
        while position.epoch < self._epochs:
            num_shards, is_final = self._source.num_shards()
            if position.shard < num_shards:
                if position.row < self._source.num_rows(position.shard):
                    return position
                position = replace(position, shard=position.shard + 1, row=0)
            elif is_final:
                position = replace(position, shard=0, row=0, epoch=position.epoch + 1)
            else:
                self._source.wait()
        return None

    def _stamped(self, position: Position) -> Position:
        """The position with the hash of all shards that it depends on."""
        seen = position.shard + (position.row > 0)
        if position.epoch > 0:
            seen = self._source.num_shards()[0]
        return replace(position, manifest_hash=self._source.prefix_hash(seen))


def shuffled(
    num_rows: int, *, seed: int, epoch: int, shard: int
) -> Int64[np.ndarray, " N"]:
    """A permutation of a shard's rows that depends on its arguments alone.

    Sorts raw 64-bit draws: NumPy keeps the streams of its bit generators between
    versions, but not what its generators make of them (NEP 19).
    """
    draws = np.random.Philox(np.random.SeedSequence([seed, epoch, shard]))
    return np.argsort(draws.random_raw(num_rows), kind="stable")


def _after(position: Position, row: int, num_rows: int) -> Position:
    """The position when `row` rows of its shard are done."""
    if row < num_rows:
        return replace(position, row=row)
    return replace(position, shard=position.shard + 1, row=0)
