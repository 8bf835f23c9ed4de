"""What each attempt at a block of comparisons has asked and paid.

An attempt is one task on one machine. It writes a log of its own, with a ledger's
records and three more kinds: `begin`, before anything else; `lease`, the most that it
may spend, before it does; and `end`, once nothing more can come. An attempt without an
end was lost, or still runs.
"""

import asyncio
import json
import os
import socket
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.labeling.ledger import (
    encode_record,
    intent_record,
    parse_record,
    result_record,
)
from rlaif_jax.labeling.objects import Log, Objects
from rlaif_jax.typing import Json

_LEDGER = "ledger"
_BLOCKS = "blocks"
_OWN_KINDS = tuple(b'{"kind":"%s"' % kind for kind in (b"begin", b"lease", b"end"))
_MANY = 64  # results that wait to be flushed


class Attempt(NamedTuple):
    """One attempt, as far as its log tells.

    Attributes:
      name: Later attempts have later names.
      records: Intents and results, in order.
      leased_usd: The most that it may spend; 0 without a budget.
      is_ended: Whether nothing more can come.
    """

    name: str
    records: tuple[Json, ...]
    leased_usd: float
    is_ended: bool

    @property
    def num_calls(self) -> int:
        """Calls that were sent."""
        return sum(record["kind"] == "intent" for record in self.records)

    @property
    def spent_usd(self) -> float:
        """What it has spent at most: all that it may, if its end is not known."""
        spent = 0.0
        unsettled: dict[str, float] = {}  # calls without a result, by key
        for record in self.records:
            key = record["key"]
            if record["kind"] == "intent":
                unsettled[key] = unsettled.get(key, 0.0) + record["at_most_usd"]
            else:
                unsettled.pop(key, None)
                spent += record["cost_usd"] + record["uncertain_usd"]
        known = spent + sum(unsettled.values())
        return known if self.is_ended else max(known, self.leased_usd)


def block_name(block: int) -> str:
    """The name of a block's labels, once they are final."""
    return f"{_BLOCKS}/{block:06d}.jsonl"


def unfinished_name(block: int, attempt: str) -> str:
    """The name of labels that a later run may ask for again: some have no answer."""
    return f"{_BLOCKS}/{block:06d}.{attempt}.jsonl"


def attempt_folder(block: int, attempt: str) -> str:
    """Where an attempt keeps its log."""
    return f"{_LEDGER}/{block:06d}/{attempt}"


def new_attempt(num_earlier: int) -> str:
    """A name that no other attempt has, and that sorts after the earlier ones."""
    return f"{num_earlier:04d}-{uuid.uuid4().hex[:16]}"


def read_attempts(objects: Objects, block: int) -> list[Attempt]:
    """All attempts at a block so far, in order.

    Raises:
      CorruptDataError: If a line that is whole is no record.
    """
    folder = f"{_LEDGER}/{block:06d}"
    parts: dict[str, list[str]] = {}
    for name in objects.names(folder):
        attempt = name.removeprefix(f"{folder}/").split("/")[0]
        parts.setdefault(attempt, []).append(name)
    return [
        _attempt(attempt, _lines(objects, names))
        for attempt, names in sorted(parts.items())
    ]


def blocks_begun(objects: Objects) -> list[int]:
    """The blocks that any attempt was made at, in order."""
    names = objects.names(_LEDGER)
    return sorted({int(name.split("/")[1]) for name in names})


class BlockLedger:
    """The ledger of one attempt, which knows what earlier ones have paid for.

    Attributes:
      is_full: Set when so much waits to be flushed that it should not wait longer.
      num_calls: Calls sent, by earlier attempts too.
    """

    def __init__(self, log: Log, earlier: Iterable[Attempt] = ()):
        """A ledger that writes to a new log.

        Args:
          log: Empty.
          earlier: All attempts at the same block before this one.
        """
        self.is_full = asyncio.Event()
        self._log = log
        self._num_waiting = 0
        self._results: dict[str, Json] = {}
        self.num_calls = 0
        for attempt in earlier:
            self.num_calls += attempt.num_calls
            for record in attempt.records:
                self._keep(record)

    def __len__(self) -> int:
        """Questions that are closed for good."""
        return len(self._results)

    def find(self, key: str) -> Json | None:
        """The result that closed a question; None if it is open."""
        return self._results.get(key)

    def intend(self, key: str, item: str, at_most_usd: float) -> None:
        """Notes that a call is about to be sent."""
        self.num_calls += 1
        self._log.append(encode_record(intent_record(key, item, at_most_usd)))

    def close_question(self, key: str, item: str, result: Json) -> None:
        """Notes what came of a question."""
        record = result_record(key, item, result)
        self._log.append(encode_record(record))
        self._keep(record)
        self._num_waiting += 1
        if self._num_waiting >= _MANY:
            self.is_full.set()

    async def begin(self) -> None:
        """Makes this attempt known to later ones, and where it runs to people."""
        where = {"host": socket.gethostname(), "pid": os.getpid()}
        self._log.append(encode_record({"kind": "begin"} | where))
        await self.flush()

    async def lease(self, usd: float) -> None:
        """Notes the most that this attempt may spend, for good before it returns."""
        self._log.append(encode_record({"kind": "lease", "usd": usd}))
        await self.flush()

    async def flush(self) -> None:
        """Returns once everything so far survives this machine."""
        self._num_waiting = 0
        self.is_full.clear()
        await self._log.flush()

    async def end(self) -> None:
        """Notes that nothing more will come."""
        self._log.append(encode_record({"kind": "end"}))
        await self.flush()
        self._log.close()

    def _keep(self, record: Json) -> None:
        if record["kind"] == "result" and record["state"] != "failed":
            self._results[record["key"]] = record


def _lines(objects: Objects, names: Iterable[str]) -> Iterable[tuple[str, bytes]]:
    """The lines of a log with their places, without one that a kill has torn."""
    for name in names:
        content = objects.read(name) or b""
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            if line.endswith(b"\n"):
                yield f"{name}:{number}", line


def _attempt(name: str, lines: Iterable[tuple[str, bytes]]) -> Attempt:
    """An attempt from the lines of its log."""
    records: list[Json] = []
    leased_usd = 0.0
    is_ended = False
    for place, line in lines:
        record = _own_record(line) or parse_record(line)
        if record is None:
            raise CorruptDataError(
                f"{place} is not a ledger record: restore it, or delete the attempt to"
                " ask its questions again"
            )
        if record["kind"] == "lease":
            leased_usd = max(leased_usd, record["usd"])
        elif record["kind"] == "end":
            is_ended = True
        elif record["kind"] != "begin":
            records.append(record)
    return Attempt(name, tuple(records), leased_usd, is_ended)


def _own_record(line: bytes) -> Json | None:
    """A record that no ledger has; None if the line is another."""
    if not line.startswith(_OWN_KINDS):
        return None
    try:
        record = json.loads(line)
        return record | {"usd": float(record.get("usd", 0.0))}
    except (ValueError, TypeError, RecursionError):
        return None
