"""What a provider's Batch API does, whichever provider it is."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from rlaif_jax.labeling.chat import Answer
from rlaif_jax.labeling.failures import Failure
from rlaif_jax.typing import Json

CHUNK_BYTES = 1 << 18  # of what is sent or read at a time
TRANSFER_TIMEOUT_S = 600.0  # for the response to an upload

QUOTA = "token_limit_exceeded"  # more tokens wait than the account may enqueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch, as its provider tells of it.

    Attributes:
      id: The provider's.
      is_ended: Whether nothing more is worked on.
      created_at: Seconds since 1970.
      size: Requests in it; 0 if the provider has not counted yet.
      name: Ours; None if the API keeps no names.
      source: The file of its requests, if there is one.
      files: Where results are.
      num_results: Requests that a line of results tells of; None if unknown.
      code: Why the whole batch was refused; empty if it was not.
      message: The same, for people.
    """

    id: str
    is_ended: bool
    created_at: float
    size: int
    name: str | None = None
    source: str = ""
    files: tuple[str, ...] = ()
    num_results: int | None = None
    code: str = ""
    message: str = ""


class Result(NamedTuple):
    """A line of results.

    Attributes:
      custom_id: The ledger's key of the question.
      end: The answer, or why there is none; None if nobody worked on it, because the
        batch had expired or was canceled.
    """

    custom_id: str
    end: Answer | Failure | None


@runtime_checkable
class BatchApi(Protocol):
    """Asks once; the caller tries again, and keeps what there is to keep.

    Attributes:
      max_requests: Of one batch.
      max_bytes: Of one batch.
    """

    max_requests: int
    max_bytes: int

    def line(self, key: str, body: Json) -> bytes:
        """One request of a batch, as it stands in the file that is sent."""
        ...

    async def upload(self, spool: Path) -> str:
        """Sends the requests ahead, if the API has them sent apart; names the file.

        Raises:
          Exception: One of `Failure`.
        """
        ...

    async def create(self, name: str, spool: Path, file: str) -> Batch:
        """Has a batch worked on; after a `TransientError` it may exist or not.

        Raises:
          Exception: One of `Failure`.
        """
        ...

    async def retrieve(self, batch_id: str) -> Batch:
        """What has become of a batch.

        Raises:
          Exception: One of `Failure`.
        """
        ...

    def recent(self, since: float) -> AsyncIterator[Batch]:
        """Yields the account's batches since then, the newest first.

        Raises:
          Exception: One of `Failure`.
        """
        ...

    def lines(self, batch: Batch) -> AsyncGenerator[bytes, None]:
        """Yields the lines of a batch's results, as they arrive.

        Raises:
          TransientError: If they end early.
        """
        ...

    def result(self, line: bytes) -> Result:
        """What a line of results says.

        Raises:
          ValueError: If it is none.
        """
        ...

    async def delete(self, batch: Batch, file: str) -> None:
        """Deletes what the provider keeps of a batch that has ended.

        Raises:
          Exception: One of `Failure`.
        """
        ...
