"""What training never sees, so that it can tell what training has learned."""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from rlaif_jax.data.order import Source
from rlaif_jax.errors import UsageError
from rlaif_jax.records import Message, Preference, content_hash

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
                f"the preferences have {num_shards} shards, and validation.shards="
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


class UnseenPrompts:
    """A source of preferences without those of some prompts.

    Several comparisons of one prompt may lie in different shards: a model that was
    trained on one of them has seen the prompt of the others.

    Attributes:
      num_dropped: Preferences left out, of the shards that were looked at so far.
    """

    def __init__(self, source: Source[Preference], *, seen: Iterable[str]):
        """Wraps a source.

        Args:
          source: Finished or growing.
          seen: Keys from `prompt_key`, of prompts that are left out.

        Raises:
          UsageError: If the source is finished and nothing of it is left.
        """
        self._source = source
        self._seen = frozenset(seen)
        self._num_rows: dict[int, int] = {}
        self._latest: tuple[int, Sequence[Preference]] = (-1, ())
        self.num_dropped = 0
        num_shards, is_final = source.num_shards()
        if is_final and not any(self.num_rows(shard) for shard in range(num_shards)):
            raise UsageError(
                "every preference is of a prompt that validation holds too, which"
                " leaves none to train on: validate on other prompts"
            )

    def num_shards(self) -> tuple[int, bool]:
        """The source's."""
        return self._source.num_shards()

    def num_rows(self, shard: int) -> int:
        """Rows of a shard that are left; the shard is read for it once."""
        if shard not in self._num_rows:
            self._num_rows[shard] = len(self.rows(shard))
            self.num_dropped += self._source.num_rows(shard) - self._num_rows[shard]
        return self._num_rows[shard]

    def rows(self, shard: int) -> Sequence[Preference]:
        """The records of a shard that are left; the latest ones stay in memory."""
        if self._latest[0] != shard:
            records = self._source.rows(shard)
            kept = [one for one in records if prompt_key(one.prompt) not in self._seen]
            self._latest = (shard, kept)
        return self._latest[1]

    def prefix_hash(self, num_shards: int) -> str:
        """The source's: what is left out is for the run's claim to remember."""
        return self._source.prefix_hash(num_shards)

    def wait(self) -> None:
        """Returns when the source has grown."""
        self._source.wait()


def prompt_key(messages: Sequence[Message]) -> str:
    """A hash of what a prompt says, whoever named it and however."""
    return content_hash([(message.role, message.content) for message in messages])
