"""HTTP as both Batch APIs need it, over the client of a chat class."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import httpx2

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.batch_api import CHUNK_BYTES, TRANSFER_TIMEOUT_S, Batch
from rlaif_jax.labeling.failures import UNUSABLE, Failure, Target
from rlaif_jax.typing import Json

T = TypeVar("T")

_NO_SUCH_PATH = (404, 405)
_PAGE = 100  # batches of one listing; both APIs allow it
_ID = re.compile(r"\w[\w.-]{0,255}", re.ASCII)  # what may stand in a path


class Wire:
    """Sends requests once, and turns what fails into our failures.

    Attributes:
      client: The SDK's client, as the chat class opened it.
    """

    def __init__(
        self,
        client: Any,
        *,
        target: Target,
        errors: tuple[type[Exception], ...],
        failure: Callable[[Exception], Failure],
    ):
        """The wire of a chat class.

        Args:
          client: The SDK's client.
          target: Whom messages name.
          errors: What the client raises.
          failure: What such an error means.
        """
        self.client = client
        self._target = target
        self._errors = errors
        self._failure = failure

    async def sent(
        self,
        sending: Awaitable[Any],
        reader: Callable[[Any], T],
        *,
        is_entrance: bool = False,
    ) -> T:
        """What a reader makes of a response's JSON, which may hold anything.

        Args:
          sending: The request under way.
          reader: Of the decoded body.
          is_entrance: Whether a server that knows no such path has no Batch API.

        Raises:
          UsageError: If the server has no Batch API.
          TransientError: If the call may be tried again, or answered with garbage.
          Exception: Another `Failure`.
        """
        try:
            content: bytes = (await sending).content
        except self._errors as error:
            raised: Exception = self._failure(error)
            if is_entrance and getattr(error, "status_code", None) in _NO_SUCH_PATH:
                raised = UsageError(
                    f"{self._target.host} has no Batch API at base_url: engine=local"
                    f" asks it call by call ({raised})"
                )
        else:
            try:
                return reader(json.loads(content))
            except UNUSABLE:
                raised = self._target.garbage(content)
        raise raised  # out here, so that no SDK exception, with its key, is chained

    async def get(self, path: str, reader: Callable[[Any], T]) -> T:
        """What a reader makes of a document; see `sent`."""
        return await self.sent(self.client.get(path, cast_to=httpx2.Response), reader)

    async def delete(self, path: str) -> None:
        """Deletes what is at a path; see `sent`."""
        await self.sent(
            self.client.delete(path, cast_to=httpx2.Response), lambda document: None
        )

    async def recent(
        self, path: str, cursor: str, reader: Callable[[Json], Batch], since: float
    ) -> AsyncIterator[Batch]:
        """Yields the batches of a listing, newest first, page by page; see `sent`.

        Args:
          path: Of the listing.
          cursor: The parameter that names the last batch of the page before.
          reader: Of one batch.
          since: Seconds since 1970; older ones are not looked for.
        """

        def page(document: Json) -> tuple[list[Batch], bool]:
            batches = [reader(one) for one in document["data"]]
            return batches, bool(document.get("has_more") and batches)

        after, goes_on = "", True
        while goes_on:
            batches, goes_on = await self.get(f"{path}?limit={_PAGE}{after}", page)
            for batch in batches:
                if batch.created_at < since:
                    return
                yield batch
            after = f"&{cursor}={batches[-1].id}" if batches else ""

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yields the lines of a file as they arrive, however long it is.

        Raises:
          TransientError: If they end early.
          Exception: Another `Failure`.
        """
        try:
            response: httpx2.Response = await self.client.get(
                path,
                cast_to=httpx2.Response,
                stream=True,
                options={"timeout": TRANSFER_TIMEOUT_S},
            )
            async with aclosing(response):
                async for line in split_lines(response.aiter_bytes(CHUNK_BYTES)):
                    yield line
            return
        except self._errors as error:
            failure = self._failure(error)
        raise failure  # out here, so that no SDK exception, with its key, is chained


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yields the lines of a text that comes in pieces, without their ends.

    Only a line feed ends a line: JSON may hold other separators as they are.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def safe_id(text: str) -> str:
    """An id that may stand in a path.

    Raises:
      ValueError: If it may not.
    """
    if not _ID.fullmatch(text):
        raise ValueError(f"id {text[:80]!r}")
    return text
