"""OpenAI's Batch API, and that of servers with the same routes.

A file of requests is uploaded, a batch is created over it, and results come in two
files, one of them of errors. A batch carries metadata, so it can be found again.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx2

from rlaif_jax.labeling.batch_api import TRANSFER_TIMEOUT_S, Batch, Result
from rlaif_jax.labeling.batch_wire import Wire, safe_id
from rlaif_jax.labeling.chat import Answer, TransientError
from rlaif_jax.labeling.failures import UNUSABLE, Failure, status_failure
from rlaif_jax.labeling.openai_model import OpenAIModel
from rlaif_jax.typing import Json

_NAME = "rlaif_jax_batch"  # of the metadata
_EXPIRES = {"anchor": "created_at", "seconds": 30 * 86400}  # the longest there is
_ENDED = {"completed", "failed", "expired", "cancelled"}
_RUNNING = {"validating", "in_progress", "finalizing", "cancelling"}
_NOT_WORKED_ON = {"batch_expired", "batch_cancelled"}


class OpenAIBatches:
    """Batches of a chat model's account.

    Attributes:
      max_requests: 50,000 is the API's limit.
      max_bytes: 200 MB is the API's limit of the file.
    """

    max_requests = 50_000
    max_bytes = 200_000_000

    def __init__(self, chat: OpenAIModel, *, deletes: bool = False):
        """The batches of a chat model.

        Args:
          chat: Its connections, target, bodies and answers are used.
          deletes: Whether files that nobody fetches are to vanish, too, after 30 days.
        """
        self._chat = chat
        self._path = f"/v1{chat.path}"
        self._wire = Wire(
            chat.client, target=chat.target, errors=chat.errors, failure=chat.failure
        )
        self._expiry: Json = {"output_expires_after": _EXPIRES} if deletes else {}

    def line(self, key: str, body: Json) -> bytes:
        """One request, as it stands in the uploaded file."""
        request = {"custom_id": key, "method": "POST", "url": self._path, "body": body}
        return json.dumps(request, separators=(",", ":")).encode("ascii") + b"\n"

    async def upload(self, spool: Path) -> str:
        """Uploads the requests, and returns the file's id."""
        with spool.open("rb") as file:
            sending = self._wire.client.files.with_raw_response.create(
                file=(spool.name, file), purpose="batch", timeout=TRANSFER_TIMEOUT_S
            )
            return await self._wire.sent(
                sending, lambda told: safe_id(told["id"]), is_entrance=True
            )

    async def create(self, name: str, spool: Path, file: str) -> Batch:
        """Creates a batch over an uploaded file, under a name of ours."""
        del spool
        body: Json = {
            "input_file_id": file,
            "endpoint": self._path,
            "completion_window": "24h",
            "metadata": {_NAME: name},
            **self._expiry,
        }
        sending = self._wire.client.post("/batches", cast_to=httpx2.Response, body=body)
        return await self._wire.sent(sending, _batch, is_entrance=True)

    async def retrieve(self, batch_id: str) -> Batch:
        """What has become of a batch."""
        return await self._wire.get(f"/batches/{safe_id(batch_id)}", _batch)

    def recent(self, since: float) -> AsyncIterator[Batch]:
        """Yields the account's batches since then, the newest first."""
        return self._wire.recent("/batches", "after", _batch, since)

    async def lines(self, batch: Batch) -> AsyncGenerator[bytes, None]:
        """Yields the lines of both files, as they arrive."""
        for file in batch.files:
            path = f"/files/{safe_id(file)}/content"
            async with aclosing(self._wire.lines(path)) as lines:
                async for line in lines:
                    yield line

    def result(self, line: bytes) -> Result:
        """What a line of either file says."""
        try:
            record = json.loads(line)
            return Result(str(record["custom_id"]), self._end(record))
        except UNUSABLE as error:
            raise ValueError(f"no line of results: {error}") from None

    async def delete(self, batch: Batch, file: str) -> None:
        """Deletes the file of requests and those of results."""
        for one in (file, *batch.files):
            await self._wire.delete(f"/files/{safe_id(one)}")

    def _end(self, record: Json) -> Answer | Failure | None:
        """The answer in a line, or why there is none."""
        response = record.get("response")
        if response is None:
            code = str(record["error"]["code"])
            if code in _NOT_WORKED_ON:
                return None
            return TransientError(f"{self._chat.host} says {code}", may_be_billed=True)
        status, body = int(response["status_code"]), response["body"]
        if not 200 <= status < 300:
            return status_failure(self._chat.target, status, {}, body)
        headers = {"x-request-id": str(response.get("request_id") or "")}
        try:
            return self._chat.read(json.dumps(body).encode("ascii"), headers)
        except TransientError as error:
            return error


def _batch(document: Json) -> Batch:
    """The batch in a document of the API."""
    status = document["status"]
    if status not in _ENDED | _RUNNING:
        raise ValueError(f"status {status!r}")
    counts = document.get("request_counts") or {}
    told = ((document.get("errors") or {}).get("data") or [{}])[0]
    files = (document.get("output_file_id"), document.get("error_file_id"))
    is_counted = status == "completed" and counts.get("total")
    return Batch(
        id=safe_id(document["id"]),
        is_ended=status in _ENDED,
        created_at=float(document["created_at"]),
        size=int(counts.get("total") or 0),
        name=str((document.get("metadata") or {}).get(_NAME, "")),
        source=str(document.get("input_file_id") or ""),
        files=tuple(safe_id(file) for file in files if file),
        num_results=counts["completed"] + counts["failed"] if is_counted else None,
        code=str(told.get("code") or "failed") if status == "failed" else "",
        message=str(told.get("message") or ""),
    )
