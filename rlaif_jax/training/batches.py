"""From a stream's records to arrays on the devices, one batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import jax
from jax.sharding import Mesh

from rlaif_jax.data.encoded import EncodedExample, EncodedPair, highest_id
from rlaif_jax.data.order import Position, RowStream
from rlaif_jax.data.packing import Ids, PackedRows
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.sharding.placement import host_rows, place_batch, place_whole

RecordT = TypeVar("RecordT")
BatchT = TypeVar("BatchT")
Load = Callable[[Sequence[Sequence[RecordT]]], Sequence[BatchT]]


class Batches(Generic[RecordT, BatchT]):
    """Loads each batch when it is asked for, and remembers where the stream stands.

    A batch comes in parts of equally many records, in their order.

    Attributes:
      position: After the batches that were handed out.
    """

    def __init__(
        self, stream: RowStream[RecordT], load: Load[RecordT, BatchT], num_parts: int
    ):
        """Wraps a stream.

        Args:
          stream: Equal on every process.
          load: Makes the arrays of each part of a global batch.
          num_parts: Of a batch.
        """
        self.position: Position = stream.start
        self._stream = stream
        self._batches = iter(stream)
        self._load = load
        self._num_parts = num_parts

    def __iter__(self) -> Iterator[Sequence[BatchT]]:
        return self

    def __next__(self) -> Sequence[BatchT]:
        records, position = next(self._batches)
        batch = self._load(equal_parts(records, self._num_parts))
        self.position = position
        return batch

    def epochs_done(self) -> int:
        """Passes over the data that are complete; see `RowStream.epochs_done`."""
        return self._stream.epochs_done(self.position)


def equal_parts(records: Sequence[RecordT], num_parts: int) -> list[Sequence[RecordT]]:
    """A batch in equally many records, in their order."""
    size = len(records) // num_parts
    return [records[i : i + size] for i in range(0, len(records), size)]


def require_even_batch(batch_size: int, microbatches: int, mesh: Mesh) -> None:
    """Refuses a batch that the devices cannot share, before anything is made.

    Args:
      batch_size: Examples or pairs of a step.
      microbatches: Its parts.
      mesh: The devices.

    Raises:
      UsageError: If a part cannot be split evenly.
    """
    if batch_size % (microbatches * batch_divisor(mesh)):
        parts = f"{microbatches} microbatches and " * (microbatches > 1)
        raise UsageError(
            f"batch_size={batch_size} cannot be split over {parts}data x fsdp = "
            f"{batch_divisor(mesh)} devices: choose a multiple"
        )


def require_known(items: Iterable[Sequence[Ids]], vocab_size: int) -> None:
    """Refuses ids that the model has not, before any of a batch is placed.

    Of what came from texts, ids have been read when it was encoded, not in every step.

    Args:
      items: All of a batch, so that every process finds the same.
      vocab_size: The model's.

    Raises:
      CorruptDataError: If an id is outside the vocabulary: on a device it would be
        replaced by another without a word.
    """
    highest = max(
        item.highest
        if isinstance(item, EncodedExample | EncodedPair)
        else highest_id(item)
        for item in items
    )
    if highest >= vocab_size:
        raise CorruptDataError(
            f"token id {highest} is outside the model's vocabulary of {vocab_size}: "
            "its tokenizer is another model's"
        )


def place_rows(rows: PackedRows, mesh: Mesh) -> PackedRows:
    """One batch of rows on the devices, of which each process gives its own.

    The lengths of its items are everywhere: there may be any number of items.

    Args:
      rows: Those of this process, with the lengths of all items.
      mesh: The devices.
    """
    arrays = rows._asdict()
    lengths = place_whole(arrays.pop("lengths"), mesh)
    return PackedRows(**place_batch(arrays, mesh), lengths=lengths)


def own_rows(num_rows: int) -> slice:
    """Which of a batch's rows this process provides."""
    return host_rows(num_rows, jax.process_index(), jax.process_count())
