"""Anthropic's Message Batches API.

Creating a batch sends all its requests, and results come in one file. A batch carries
no name of ours: it is found again by its size, and proven by the ids of its results.
"""

import datetime
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import httpx2

from rlaif_jax.labeling.anthropic_chat import AnthropicChat
from rlaif_jax.labeling.batch_api import (
    CHUNK_BYTES,
    TRANSFER_TIMEOUT_S,
    Batch,
    Result,
)
from rlaif_jax.labeling.batch_wire import Wire, safe_id
from rlaif_jax.labeling.chat import Answer, TransientError
from rlaif_jax.labeling.failures import UNUSABLE, Failure, status_failure
from rlaif_jax.typing import Json

_PATH = "/v1/messages/batches"
_AROUND = (b'{"requests":[', b"]}")  # what the file of requests is sent in
_RUNNING = {"in_progress", "canceling"}
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
_NOT_WORKED_ON = {"canceled", "expired"}
_STATUS = {  # of a call that fails for the same reason
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_UNKNOWN_STATUS = 500


class AnthropicBatches:
    """Batches of a chat model's account.

    Attributes:
      max_requests: 100,000 is the API's limit.
      max_bytes: 256 MB is the API's limit of the request.
    """

    max_requests = 100_000
    max_bytes = 256_000_000 - sum(map(len, _AROUND))

    def __init__(self, chat: AnthropicChat):
        """The batches of a chat model, whose connections and bodies are used."""
        self._chat = chat
        self._wire = Wire(
            chat.client, target=chat.target, errors=chat.errors, failure=chat.failure
        )

    def line(self, key: str, body: Json) -> bytes:
        """One request; its line feed becomes the comma after it."""
        request = {"custom_id": key, "params": body}
        return json.dumps(request, separators=(",", ":")).encode("ascii") + b"\n"

    async def upload(self, spool: Path) -> str:
        """Nothing: `create` sends the requests."""
        del spool
        return ""

    async def create(self, name: str, spool: Path, file: str) -> Batch:
        """Creates a batch of the requests in a file."""
        del name, file
        size = spool.stat().st_size - 1 + sum(map(len, _AROUND))
        sending = self._wire.client.post(
            _PATH,
            cast_to=httpx2.Response,
            content=_requests(spool),
            options={
                "timeout": TRANSFER_TIMEOUT_S,
                "headers": {
                    "Content-Type": "application/json",
                    "Content-Length": str(size),
                },
            },
        )
        return await self._wire.sent(sending, _batch, is_entrance=True)

    async def retrieve(self, batch_id: str) -> Batch:
        """What has become of a batch."""
        return await self._wire.get(f"{_PATH}/{safe_id(batch_id)}", _batch)

    def recent(self, since: float) -> AsyncIterator[Batch]:
        """Yields the account's batches since then, the newest first."""
        return self._wire.recent(_PATH, "after_id", _batch, since)

    def lines(self, batch: Batch) -> AsyncGenerator[bytes, None]:
        """Yields the lines of the results, as they arrive.

        They are asked for below `base_url`: the address that the API tells would take
        the key wherever it points.
        """
        return self._wire.lines(f"{_PATH}/{safe_id(batch.id)}/results")

    def result(self, line: bytes) -> Result:
        """What a line of results says."""
        try:
            record = json.loads(line)
            return Result(str(record["custom_id"]), self._end(record["result"]))
        except UNUSABLE as error:
            raise ValueError(f"no line of results: {error}") from None

    async def delete(self, batch: Batch, file: str) -> None:
        """Deletes a batch and its results."""
        del file
        await self._wire.delete(f"{_PATH}/{safe_id(batch.id)}")

    def _end(self, result: Json) -> Answer | Failure | None:
        """The answer in a line, or why there is none."""
        kind = result["type"]
        if kind in _NOT_WORKED_ON:
            return None
        if kind == "errored":
            error = result["error"]
            status = _STATUS.get(error["error"]["type"], _UNKNOWN_STATUS)
            return status_failure(self._chat.target, status, {}, error)
        message = json.dumps(result["message"]).encode("ascii")
        try:
            return self._chat.read(message, {})
        except TransientError as error:
            return error


async def _requests(spool: Path) -> AsyncGenerator[bytes, None]:
    """The body of a creation: the file's lines as the elements of a list."""
    yield _AROUND[0]
    with spool.open("rb") as file:
        held = file.read(CHUNK_BYTES)
        while following := file.read(CHUNK_BYTES):
            yield held.replace(b"\n", b",")  # a string in JSON holds none
            held = following
    yield held.removesuffix(b"\n").replace(b"\n", b",")
    yield _AROUND[1]


def _batch(document: Json) -> Batch:
    """The batch in a document of the API."""
    status = document["processing_status"]
    if status != "ended" and status not in _RUNNING:
        raise ValueError(f"processing_status {status!r}")
    created_at = datetime.datetime.fromisoformat(document["created_at"])
    size = sum(int(document["request_counts"][name]) for name in _COUNTS)
    return Batch(
        id=safe_id(document["id"]),
        is_ended=status == "ended",
        created_at=created_at.timestamp(),
        size=size,
        num_results=size if status == "ended" else None,
    )
