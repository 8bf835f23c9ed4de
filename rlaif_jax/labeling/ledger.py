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
from typing import Any, NamedTuple, Protocol, runtime_checkable

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


class Unsettled(NamedTuple):
    """A question that was asked, and whose result is not known.

    Attributes:
      at_most_usd: Of the last call.
      earlier_usd: Of each call before it, at most.
      place: Of the last intent in the file.
      batch: The batch that asks it; empty of a call.
    """

    at_most_usd: float
    earlier_usd: tuple[float, ...]
    place: int
    batch: str


@runtime_checkable
class CallLog(Protocol):
    """Where calls are noted, and answers found that were paid for before.

    Attributes:
      num_calls: Calls sent by all who wrote to it so far.
    """

    num_calls: int

    def find(self, key: str) -> Json | None:
        """The result that closed a question; None if it is open."""
        ...

    def intend(self, key: str, item: str, at_most_usd: float) -> None:
        """Notes that a call is about to be sent."""
        ...

    def close_question(self, key: str, item: str, result: Json) -> None:
        """Notes what came of a question; see `Ledger`."""
        ...


class Ledger:
    """An append-only log of calls, and the index of the questions it answers.

    Of a question, 16 bytes of its key and a place in the file are held in memory. A
    call or batch under way takes a little more.

    Attributes:
      path: The file.
      spent_usd: Billed, or perhaps billed, by the runs that wrote it so far.
      num_calls: Calls sent by all runs, this one included; a question in a batch that
        was worked on is one.
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
        self._unsettled: dict[bytes, Unsettled] = {}
        self._size = 0
        self._written = asyncio.Event()
        self._closing = asyncio.Event()
        try:
            lock_ledger(self._file, self.path)
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
        place = self._places.get(_short(key))
        return None if place is None else self._read(place)

    def is_spoken_for(self, key: str) -> bool:
        """Whether a question is closed, or in a batch whose results will tell."""
        short = _short(key)
        asked = self._unsettled.get(short)
        is_closed = self._places.get(short) is not None
        return is_closed or (asked is not None and bool(asked.batch))

    def unsettled(self, batch: str) -> dict[bytes, Unsettled]:
        """The questions of a batch without a result, by the first 16 bytes of keys."""
        return {
            short: asked
            for short, asked in self._unsettled.items()
            if asked.batch == batch
        }

    def batches(self) -> set[str]:
        """The batches that have questions without a result."""
        return {asked.batch for asked in self._unsettled.values() if asked.batch}

    def asked(self, place: int) -> tuple[str, str]:
        """The key and the item of the intent at a place."""
        record = self._read(place)
        return record["key"], record["item"]

    def intend(
        self, key: str, item: str, at_most_usd: float, *, batch: str = ""
    ) -> None:
        """Notes that a call, or a batch with this question, is about to be sent."""
        self.num_calls += 1
        record = intent_record(key, item, at_most_usd)
        if batch:
            record["batch"] = batch
        self._intended(record, self._append(record))

    def close_question(self, key: str, item: str, result: Json) -> None:
        """Notes what came of a question.

        Args:
          key: The question's.
          item: The comparison or prompt that it is about.
          result: JSON fields; a `state` of `failed` leaves the question open for a
            later run.
        """
        record = result_record(key, item, result)
        self._settled(record, self._append(record))

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

    async def sync(self) -> None:
        """Brings all that was written onto the disk."""
        await asyncio.to_thread(os.fdatasync, self._file)

    def end_sync(self) -> None:
        """Lets `keep_synced` return."""
        self._closing.set()
        self._written.set()

    def _read(self, place: int) -> Json:
        """The record at a place."""
        return json.loads(os.pread(self._file, place & _LENGTH, place >> _LENGTH_BITS))

    def _intended(self, record: Json, place: int) -> None:
        """Keeps an intent until its question's result."""
        short = _short(record["key"])
        before = self._unsettled.get(short)
        earlier = (*before.earlier_usd, before.at_most_usd) if before else ()
        self._unsettled[short] = Unsettled(
            float(record["at_most_usd"]), earlier, place, record.get("batch", "")
        )

    def _settled(self, record: Json, place: int) -> float:
        """Takes a result in place of its question's intents.

        A result settles its own attempts, or its batch. What those of a run that was
        killed before them may cost is returned, in US dollars.
        """
        short = _short(record["key"])
        if record["state"] != "failed":
            self._places[short] = place
        asked = self._unsettled.pop(short, None)
        if asked is None:
            return 0.0
        if asked.batch and not record["attempts"]:
            self.num_calls -= 1  # nobody worked on that batch
        num_own = 1 if asked.batch else record["attempts"]
        sent = (*asked.earlier_usd, asked.at_most_usd)
        return sum(sent[: max(0, len(sent) - num_own)], start=0.0)

    def _append(self, record: Json) -> int:
        """Writes one line with one call, and returns its place."""
        line = encode_record(record)
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

    def _load(self) -> None:
        """Reads what earlier runs left."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                record = parse_record(line)
                if record is None:
                    self._repair(number, line, is_last=not file.read(1))
                    break
                place = self._size << _LENGTH_BITS | len(line)
                self._index(record, place)
                self._size += len(line)
        self.spent_usd += sum(
            asked.at_most_usd + sum(asked.earlier_usd)
            for asked in self._unsettled.values()
        )

    def _index(self, record: Json, place: int) -> None:
        """Takes one record of an earlier run into account."""
        if record["kind"] == "intent":
            self.num_calls += 1
            self._intended(record, place)
            return
        self.spent_usd += record["cost_usd"] + record["uncertain_usd"]
        self.spent_usd += self._settled(record, place)

    def _repair(self, number: int, line: bytes, *, is_last: bool) -> None:
        """Cuts a torn last line off; refuses any other damage."""
        if not is_last:
            raise CorruptDataError(
                f"{self.path}:{number} is not a ledger record: restore the file, or"
                " move it away to ask everything again"
            )
        _log.warning("cut a torn line of %d bytes off %s", len(line), self.path)
        os.ftruncate(self._file, self._size)


def _short(key: str) -> bytes:
    """What of a key is held in memory."""
    return bytes.fromhex(key[:32])


def intent_record(key: str, item: str, at_most_usd: float) -> Json:
    """What is written before a call is sent."""
    return {
        "kind": "intent",
        "key": key,
        "item": item,
        "at_most_usd": at_most_usd,
        "at": round(time.time(), 3),
    }


def result_record(key: str, item: str, result: Json) -> Json:
    """What is written when a question is closed."""
    record = {"kind": "result", "key": key, "item": item, **result}
    return record | {"at": round(time.time(), 3)}


def encode_record(record: Json) -> bytes:
    """One line of a ledger."""
    return _encode(record).encode("ascii") + b"\n"


def lock_ledger(file: int, path: Path, *, wait_s: float = 0.0) -> None:
    """Keeps other runs out of a ledger: they would pay for the same questions.

    Args:
      file: Descriptor of the ledger; the lock goes when it is closed.
      path: Of it.
      wait_s: How long another run is waited for.

    Raises:
      UsageError: If another run still writes to it then.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise UsageError(
                    f"another run is writing to {path}: wait for it, or use another"
                    " --out"
                ) from error
            time.sleep(0.1)
        else:
            return


def parse_record(line: bytes) -> Json | None:
    """The record in a line, or None if it is damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
        _short(record["key"])
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
