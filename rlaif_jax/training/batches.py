"""From a stream's records to arrays on the devices, one batch at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Shaped

from rlaif_jax.data.order import Position, RowStream
from rlaif_jax.data.packing import PackedRows
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.sharding.placement import host_rows, place_batch

RecordT = TypeVar("RecordT")
BatchT = TypeVar("BatchT")


class Batches(Generic[RecordT, BatchT]):
    """Loads each batch when it is asked for, and remembers where the stream stands.

    Attributes:
      position: After the batches that were handed out.
    """

    def __init__(
        self, stream: RowStream[RecordT], load: Callable[[Sequence[RecordT]], BatchT]
    ):
        """Wraps a stream.

        Args:
          stream: Equal on every process.
          load: Makes one global batch of its records.
        """
        self.position: Position = stream.start
        self._batches = iter(stream)
        self._load = load

    def __iter__(self) -> Iterator[BatchT]:
        return self

    def __next__(self) -> BatchT:
        records, position = next(self._batches)
        batch = self._load(records)
        self.position = position
        return batch


def place_rows(rows: PackedRows, mesh: Mesh, *, vocab_size: int) -> PackedRows:
    """One batch of rows on the devices, of which each process gives its block.

    Args:
      rows: All of the batch, equal on every process.
      mesh: The devices.
      vocab_size: The model's.

    Raises:
      CorruptDataError: If an id is outside the vocabulary: on a device it would be
        replaced by another without a word.
    """
    highest = int(rows.token_ids.max())
    if highest >= vocab_size:
        raise CorruptDataError(
            f"token id {highest} is outside the model's vocabulary of {vocab_size}: "
            "its tokenizer is another model's"
        )
    return place_batch(jax.tree.map(own_block, rows), mesh)


def own_block(rows: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """The rows of a batch that this process provides."""
    mine = host_rows(len(rows), jax.process_index(), jax.process_count())
    return rows[mine]
