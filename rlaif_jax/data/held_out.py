"""Shards that training never sees, so that they can tell what it learned."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from rlaif_jax.data.order import Source
from rlaif_jax.errors import UsageError

RecordT = TypeVar("RecordT")


class LaterShards(Generic[RecordT]):
    """A source without its first shards, which are held out.

    The first, and not the last: of a folder that grows these are known.
    """

    def __init__(self, source: Source[RecordT], *, skipped: int):
        """Wraps a source.

        Args:
          source: Finished or growing.
          skipped: Shards held out, from the first.

        Raises:
          UsageError: If the source is finished and has no more than these.
        """
        num_shards, is_final = source.num_shards()
        if is_final and num_shards <= skipped:
            raise UsageError(
                f"the preferences have {num_shards} shards, and held_out_shards="
                f"{skipped} leaves none to train on: hold out fewer, or label with a"
                " smaller comparisons_per_shard"
            )
        self._source = source
        self._skipped = skipped

    def num_shards(self) -> tuple[int, bool]:
        """How many later shards are known, and whether these are all."""
        num_shards, is_final = self._source.num_shards()
        return (max(0, num_shards - self._skipped), is_final)

    def num_rows(self, shard: int) -> int:
        """Rows of a later shard."""
        return self._source.num_rows(shard + self._skipped)

    def rows(self, shard: int) -> Sequence[RecordT]:
        """The records of a later shard."""
        return self._source.rows(shard + self._skipped)

    def prefix_hash(self, num_shards: int) -> str:
        """The source's, of these shards and all before them."""
        return self._source.prefix_hash(num_shards and num_shards + self._skipped)

    def wait(self) -> None:
        """Returns when the source has grown."""
        self._source.wait()
