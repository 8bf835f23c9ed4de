"""Every call that was made, in a file that survives being killed at any point.

One JSON object a line: an `intent` before a call is sent, a `result` when its question
is closed. An intent without a result is a call that may have been billed.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rlaif_jax import log
from rlaif_jax.errors import CorruptDataError, InternalError, UsageError
from rlaif_jax.files import sync_folder
from rlaif_jax.labeling.places import Places
from rlaif_jax.records import Message
from rlaif_jax.typing import Json

_log = log.logger(__name__)

_encode = json.JSONEncoder(separators=(",", ":")).encode
_VERSION = 1  # of the key
_LENGTH_BITS = 26  # of a line: 64 MiB; 38 bits are left for where it stands
_LENGTH = (1 << _LENGTH_BITS) - 1


def question_key(messages: Sequence[Message], **settings: Any) -> str:
    """The SHA-256 of everything that can change an answer, in hex.

    Args:
      messages: The rendered prompt, thus the order in which candidates are shown.
      **settings: Endpoint, model, template, sampling parameters, vote.
    """
    turns = [(turn.role, turn.content) for turn in messages]
    text = _encode([_VERSION, sorted(settings.items()), turns])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Ledger:
    """An append-only log of calls, and the index of the questions it answers.

    Of a question, 16 bytes of its key and a place in the file are held in memory.

    Attributes:
      path: The file.
      spent_usd: Billed, or perhaps billed, by the runs that wrote it so far.
      num_calls: Calls sent by all runs, this one included.
    """

    def __init__(self, path: Path):
        """Opens or creates the file, and repairs a line torn by a kill.

        Raises:
          UsageError: If another process is writing to it.
          CorruptDataError: If a line that is not the last is no record.
        """
        self.path = path
        self.spent_usd = 0.0
        self.num_calls = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._places = Places()  # key -> offset and length, in one number
        self._size = 0
        self._written = asyncio.Event()
        self._closing = asyncio.Event()
        try:
            self._lock()
            self._load()
        except BaseException:
            os.close(self._file)
            raise
        sync_folder(path.parent)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1  # a late write must fail, not reach another file

    def __len__(self) -> int:
        """Questions that are closed for good."""
        return len(self._places)

    def find(self, key: str) -> Json | None:
        """The result that closed a question; None if it is open."""
        place = self._places.get(bytes.fromhex(key[:32]))
        if place is None:
            return None
        return json.loads(os.pread(self._file, place & _LENGTH, place >> _LENGTH_BITS))

    def intend(self, key: str, item: str, at_most_usd: float) -> None:
        """Notes that a call is about to be sent."""
        self.num_calls += 1
        self._append(
            {
                "kind": "intent",
                "key": key,
                "item": item,
                "at_most_usd": at_most_usd,
                "at": round(time.time(), 3),
            }
        )

    def close_question(self, key: str, item: str, result: Json) -> None:
        """Notes what came of a question.

        Args:
          key: The question's.
          item: The comparison or prompt that it is about.
          result: JSON fields; a `state` of `failed` leaves the question open for a
            later run.
        """
        record = {"kind": "result", "key": key, "item": item, **result}
        record["at"] = round(time.time(), 3)
        place = self._append(record)
        if result["state"] != "failed":
            self._places[bytes.fromhex(key[:32])] = place

    async def keep_synced(self, every_s: float = 0.2) -> None:
        """Brings what was written onto the disk, group by group, until `end_sync`.

        A kill loses nothing without it; a power cut loses at most `every_s`.
        """
        while not self._closing.is_set():
            await self._written.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._closing.wait()
            self._written.clear()
            await asyncio.to_thread(os.fdatasync, self._file)

    def end_sync(self) -> None:
        """Lets `keep_synced` return."""
        self._closing.set()
        self._written.set()

    def _append(self, record: Json) -> int:
        """Writes one line with one call, and returns its place."""
        line = _encode(record).encode("ascii") + b"\n"
        if len(line) > _LENGTH:
            raise InternalError(f"a record of {len(line):,} bytes is no answer")
        offset = self._size
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a nearly full disk takes a part
                written += os.write(self._file, line[written:])
        except OSError as error:
            if self._file >= 0:
                os.ftruncate(self._file, offset)
            raise InternalError(
                f"cannot write {self.path}: {error.strerror}: free some space and run"
                " the same command again"
            ) from error
        self._size += len(line)
        self._written.set()
        return offset << _LENGTH_BITS | len(line)

    def _lock(self) -> None:
        """Keeps a second run out: both would pay for the same questions."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another run is writing to {self.path}: wait for it, or use another"
                " --out"
            ) from error

    def _load(self) -> None:
        """Reads what earlier runs left."""
        unsettled: dict[str, list[float]] = {}  # calls without a result, by key
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                record = _parsed(line)
                if record is None:
                    self._repair(number, line, is_last=not file.read(1))
                    break
                place = self._size << _LENGTH_BITS | len(line)
                self._index(record, place, unsettled)
                self._size += len(line)
        self.spent_usd += sum(map(sum, unsettled.values()))

    def _index(
        self, record: Json, place: int, unsettled: dict[str, list[float]]
    ) -> None:
        """Takes one record of an earlier run into account.

        A result settles its own attempts, not those of a run that was killed before.
        """
        key = record["key"]
        if record["kind"] == "intent":
            self.num_calls += 1
            unsettled.setdefault(key, []).append(record["at_most_usd"])
            return
        sent = unsettled.pop(key, [])
        self.spent_usd += sum(sent[: max(0, len(sent) - record["attempts"])])
        self.spent_usd += record["cost_usd"] + record["uncertain_usd"]
        if record["state"] != "failed":
            self._places[bytes.fromhex(key[:32])] = place

    def _repair(self, number: int, line: bytes, *, is_last: bool) -> None:
        """Cuts a torn last line off; refuses any other damage."""
        if not is_last:
            raise CorruptDataError(
                f"{self.path}:{number} is not a ledger record: restore the file, or"
                " move it away to ask everything again"
            )
        _log.warning("cut a torn line of %d bytes off %s", len(line), self.path)
        os.ftruncate(self._file, self._size)


def _parsed(line: bytes) -> Json | None:
    """The record in a line, or None if it is damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
        bytes.fromhex(record["key"][:32])
        if record["kind"] == "intent":
            complete = isinstance(record["at_most_usd"], int | float)
        else:
            costs = (record["cost_usd"], record["uncertain_usd"])
            complete = (
                isinstance(record["state"], str)
                and isinstance(record["attempts"], int)
                and all(isinstance(cost, int | float) for cost in costs)
            )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if complete else None
