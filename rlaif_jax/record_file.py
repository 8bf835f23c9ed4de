"""Records that stay in their file until they are asked for."""

import gzip
import io
import os
import weakref
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar, overload

import numpy as np
import pydantic
from jaxtyping import Int

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import parse_record, require_file

RecordT = TypeVar("RecordT", bound=pydantic.BaseModel)


class Span(NamedTuple):
    """Where a line stands in a file, in bytes."""

    offset: int
    length: int


class RecordFile(Generic[RecordT]):
    """A file of JSON lines, each one record of a kind; closed when it is forgotten.

    One whose name ends in `.gz` is unpacked into memory. Of any other nothing is kept.
    """

    def __init__(self, path: Path, kind: type[RecordT]):
        """Opens the file.

        Raises:
          UsageError: If it is missing.
          CorruptDataError: If it cannot be unpacked.
        """
        require_file(path, f"{kind.__name__} file")
        self.path = path
        self._kind = kind
        self._unpacked = _unpacked(path) if path.suffix == ".gz" else None
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._stamp = self._stamp_now()

    def scan(self) -> Iterator[tuple[Span, RecordT]]:
        """Every record with its place, in file order.

        Raises:
          CorruptDataError: If a line is not such a record; the message names the line.
        """
        offset = 0
        with self._stream() as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    record = parse_record(line, self._kind, f"{self.path}:{number}")
                    yield Span(offset, len(line)), record
                offset += len(line)

    def at(self, span: Span) -> RecordT:
        """The record at a place that `scan` told.

        Raises:
          CorruptDataError: If the file has changed since it was opened.
        """
        if self._unpacked is not None:
            line = self._unpacked[span.offset : span.offset + span.length]
        elif self._stamp_now() == self._stamp:
            line = os.pread(self._descriptor, span.length, span.offset)
        else:
            raise CorruptDataError(
                f"{self.path} was changed while it was read: run the same command again"
            )
        return parse_record(line, self._kind, f"{self.path} at byte {span.offset}")

    def _stream(self) -> io.BufferedIOBase:
        if self._unpacked is not None:
            return io.BytesIO(self._unpacked)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return open(self._descriptor, "rb", closefd=False)

    def _stamp_now(self) -> tuple[int, int]:
        """What changes when somebody writes into the file."""
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns


class Records(Sequence[RecordT]):
    """Some records of a file, in any order; sixteen bytes are held for each."""

    def __init__(self, file: RecordFile[RecordT], spans: Int[np.ndarray, "N 2"]):
        self._file = file
        self._spans = spans

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> RecordT: ...
    @overload
    def __getitem__(self, index: slice) -> "Records[RecordT]": ...
    def __getitem__(self, index: int | slice) -> "RecordT | Records[RecordT]":
        if isinstance(index, slice):
            return Records(self._file, self._spans[index])
        offset, length = self._spans[index]
        return self._file.at(Span(int(offset), int(length)))


def _unpacked(path: Path) -> bytes:
    """What is in a gzip file."""
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptDataError(f"cannot read {path}: {error}") from error
