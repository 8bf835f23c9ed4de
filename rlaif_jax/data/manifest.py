"""The list of a folder's sealed shards: one line each, each line naming the last.

`manifest.jsonl` holds {seq, file, rows, bytes, sha256, previous} a shard, and in the
end {final, shards, rows, previous}. `previous` is the SHA-256 of the line before,
without its newline; of nothing for the first. So the hash of any line stands for
everything before it, and an edited, lost or swapped line shows.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pydantic
from pydantic import Field, field_validator

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.records import Record

FILE_NAME = "manifest.jsonl"
GENESIS = hashlib.sha256(b"").hexdigest()


class ManifestEntry(Record):
    """A sealed shard: it never changes again."""

    seq: int = Field(ge=0)
    file: str  # a name in the manifest's folder
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str
    previous: str

    @field_validator("file")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if name in ("", ".", "..") or any(char in name for char in "/\\\0"):
            raise ValueError(f"{name!r} is not a plain file name")
        return name


class FinalLine(Record):
    """Nothing follows: labeling is over."""

    final: Literal[True] = True
    shards: int = Field(ge=0)
    rows: int = Field(ge=0)
    previous: str


class ManifestHead(NamedTuple):
    """How far a folder has grown: all that hosts must agree on."""

    num_shards: int
    is_final: bool


class Manifest(Record):
    """A folder's sealed shards, as its manifest lists them; the chain is verified.

    Attributes:
      folder: Where the shards are.
      entries: The shards, in order.
      hashes: hashes[n] stands for the first n shards; one more than entries.
      is_final: Whether the list is complete.
    """

    folder: Path
    entries: tuple[ManifestEntry, ...] = ()
    hashes: tuple[str, ...] = (GENESIS,)
    is_final: bool = False

    @property
    def head(self) -> ManifestHead:
        """How many shards there are, and whether more may come."""
        return ManifestHead(len(self.entries), self.is_final)

    @property
    def num_rows(self) -> int:
        """Rows of all sealed shards."""
        return sum(entry.rows for entry in self.entries)

    def followed_by(self, line: bytes) -> "Manifest":
        """The manifest with one more line.

        Raises:
          CorruptDataError: If the line does not parse or does not continue the chain.
        """
        path = self.folder / FILE_NAME
        place = f"{path}:{len(self.entries) + self.is_final + 1}"
        if self.is_final:
            raise CorruptDataError(f"{place} follows the final line: restore {path}")
        parsed = _parse(line, place)
        expected: dict[str, object] = {"previous": self.hashes[-1]}
        if isinstance(parsed, FinalLine):
            expected |= {"shards": len(self.entries), "rows": self.num_rows}
        else:
            expected |= {"seq": len(self.entries)}
        for field, value in expected.items():
            if (found := getattr(parsed, field)) != value:
                raise CorruptDataError(
                    f"{place}: {field} is {found}, expected {value}: a line before it"
                    " was changed, lost or swapped"
                )
        if isinstance(parsed, FinalLine):
            return self.model_copy(update={"is_final": True})
        return self.model_copy(
            update={
                "entries": (*self.entries, parsed),
                "hashes": (*self.hashes, hashlib.sha256(line).hexdigest()),
            }
        )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder, finished or growing; shards are not opened.

    A last line without newline is still being written, or was cut off by a crash:
    it does not count.

    Raises:
      UsageError: If there is no manifest.
      CorruptDataError: If a line was changed, lost or swapped.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise UsageError(
            f"no {FILE_NAME} in {folder}: check the path, or start `label` first"
        )
    manifest = Manifest(folder=folder)
    for line in whole_lines(path.read_bytes()):
        manifest = manifest.followed_by(line)
    return manifest


def whole_lines(content: bytes) -> Iterator[bytes]:
    """The lines that end with a newline, without it."""
    yield from content.split(b"\n")[:-1]


def manifest_line(record: ManifestEntry | FinalLine) -> bytes:
    """A record as its line, without the newline."""
    return json.dumps(record.model_dump(), separators=(",", ":")).encode()


def _parse(line: bytes, place: str) -> ManifestEntry | FinalLine:
    """One line as what it is."""
    try:
        document = json.loads(line)
        is_final = isinstance(document, dict) and "final" in document
        return (FinalLine if is_final else ManifestEntry).model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "line"
        raise CorruptDataError(f"{place}: {where}: {first['msg']}") from error
    except ValueError as error:  # also bytes that are not UTF-8
        raise CorruptDataError(f"{place} is not a JSON line: {error}") from error
