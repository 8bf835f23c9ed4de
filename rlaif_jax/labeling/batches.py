"""The journal of a run's batches, which says after a crash what is at the provider.

One JSON object a line, on the disk before what it tells of is done:

    planned   its questions are being noted in the ledger; the provider knows nothing
    uploaded  its requests are ready; from here on the provider may have it
    created   the provider has it, under this id
    ended     its results are there
    ingested  they are in the ledger; nothing is left to do
    released  the provider never took it; its questions are open again
"""

import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rlaif_jax import log
from rlaif_jax.errors import CorruptDataError, InternalError
from rlaif_jax.files import sync_folder
from rlaif_jax.typing import Json

State = Literal["planned", "uploaded", "created", "ended", "ingested", "released"]

_STATES = get_args(State)
_DONE = ("ingested", "released")
_FIELDS = ("size", "file", "id")  # what is known later

_log = log.logger(__name__)


@dataclass(slots=True, kw_only=True)
class Entry:
    """One batch, as far as the journal knows.

    Attributes:
      name: Ours; the ledger's intents have it too.
      addressee: A hash of who is asked.
      state: The last one that was written.
      planned_at: Seconds since 1970.
      size: Its questions; 0 while it is planned.
      file: The provider's id of the uploaded requests, if the API has one.
      id: The provider's id of the batch; empty until it is known.
    """

    name: str
    addressee: str
    state: State
    planned_at: float
    size: int = 0
    file: str = ""
    id: str = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in _DONE


class Journal:
    """An append-only file, opened by the run that holds the ledger's lock.

    Attributes:
      entries: All batches, the first one first.
    """

    def __init__(self, path: Path):
        """Reads what earlier runs left, and cuts off a line torn by a kill.

        Raises:
          CorruptDataError: If a line that is not the last is no record.
        """
        self.entries: list[Entry] = []
        self._path = path
        self._run = secrets.token_hex(8)  # batches of two folders differ by name
        self._load()

    def unfinished(self, addressee: str) -> list[Entry]:
        """The batches to an addressee that something is left to do for."""
        return [
            one
            for one in self.entries
            if one.addressee == addressee and not one.is_done
        ]

    def plan(self, addressee: str) -> Entry:
        """Begins a batch."""
        entry = Entry(
            name=f"{self._run}-{len(self.entries):06d}",
            addressee=addressee,
            state="planned",
            planned_at=round(time.time(), 3),
        )
        self.entries.append(entry)
        self._append(
            {"kind": "planned", "batch": entry.name, "addressee": addressee},
            at=entry.planned_at,
        )
        return entry

    def note(
        self,
        entry: Entry,
        state: State,
        *,
        size: int | None = None,
        file: str | None = None,
        id: str | None = None,
    ) -> None:
        """Writes down the next state of a batch, with what became known."""
        known = {"size": size, "file": file, "id": id}
        fields = {name: value for name, value in known.items() if value is not None}
        self._append({"kind": state, "batch": entry.name, **fields}, at=time.time())
        _advance(entry, state, fields)

    def _append(self, record: Json, *, at: float) -> None:
        """Writes one line, and waits until it is on the disk."""
        line = json.dumps(record | {"at": round(at, 3)}, separators=(",", ":")) + "\n"
        is_new = not self._path.exists()
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(line.encode("ascii"))
                os.fsync(file.fileno())
        except OSError as error:
            raise InternalError(
                f"cannot write {self._path}: {error.strerror}: free some space and run"
                " the same command again"
            ) from error
        if is_new:
            sync_folder(self._path.parent)

    def _load(self) -> None:
        """Reads the file, if there is one."""
        if not self._path.is_file():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        by_name: dict[str, Entry] = {}
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n") or not self._take(line, by_name):
                self._repair(number, lines)
                break
        self.entries = list(by_name.values())

    def _take(self, line: bytes, by_name: dict[str, Entry]) -> bool:
        """Takes one line into account, and says if it is a record."""
        try:
            record = json.loads(line)
            kind, name, at = record["kind"], record["batch"], float(record["at"])
            if kind == "planned":
                by_name[name] = Entry(
                    name=name,
                    addressee=record["addressee"],
                    state="planned",
                    planned_at=at,
                )
                return True
            fields = {field: record[field] for field in _FIELDS if field in record}
            _advance(by_name[name], kind, fields)
        except (ValueError, LookupError, TypeError):
            return False
        return kind in _STATES

    def _repair(self, number: int, lines: list[bytes]) -> None:
        """Cuts a torn last line off; refuses any other damage."""
        if number != len(lines):
            raise CorruptDataError(
                f"{self._path}:{number} is not a record of batches: restore the file;"
                " without it batches that were paid for can not be found"
            )
        _log.warning("cut a torn line off %s", self._path)
        os.truncate(self._path, sum(map(len, lines[:-1])))


def _advance(entry: Entry, state: State, fields: Json) -> None:
    """Brings a batch into a state."""
    entry.state = state
    for name, value in fields.items():
        setattr(entry, name, value)
