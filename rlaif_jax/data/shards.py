"""Preference shards: Parquet files that never change once the manifest names them.

Each is the conversational form of a preference data set, as TRL's DPOTrainer and
`datasets` load it, with where every row came from in further columns.
"""

import fcntl
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from rlaif_jax.data.manifest import (
    FILE_NAME,
    FinalLine,
    Manifest,
    ManifestEntry,
    manifest_line,
    whole_lines,
)
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import sync_folder, write_atomic
from rlaif_jax.records import Preference

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_TYPES = {"prompt": _MESSAGES, "chosen": _MESSAGES, "rejected": _MESSAGES} | {
    "p_chosen": pa.float64(),
    "label_cost_usd": pa.float64(),
}
SCHEMA = pa.schema(
    [(name, _TYPES.get(name, pa.string())) for name in Preference.model_fields]
)


class ShardWriter:
    """Seals blocks of preferences, one shard each, in a folder of its own.

    Every block is on disk before `add` returns. Stopped anywhere, a new writer goes
    on after the last sealed block: the block that was under way is written again.

    Attributes:
      manifest: What is sealed so far.
    """

    def __init__(self, folder: Path):
        """Opens the folder, or makes it.

        Raises:
          UsageError: If another process writes there.
          CorruptDataError: If what is there is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE_NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(self._descriptor, path)
            sync_folder(folder)
            self.manifest = _recover(self._descriptor, folder)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, rows: Sequence[Preference]) -> ManifestEntry:
        """Seals the next block, which may be empty, as shard `len(manifest.entries)`.

        Raises:
          UsageError: If the folder is finished.
        """
        if self.manifest.is_final:
            raise UsageError(
                f"{self.manifest.folder} is finished: label into another folder"
            )
        seq = len(self.manifest.entries)
        content = encode_shard(rows)
        entry = ManifestEntry(
            seq=seq,
            file=f"shard-{seq:06d}.parquet",
            rows=len(rows),
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            previous=self.manifest.hashes[-1],
        )
        write_atomic(self.manifest.folder / entry.file, content)
        self._append(manifest_line(entry))
        return entry

    def finish(self) -> None:
        """Says that no shard follows; saying it again changes nothing."""
        if not self.manifest.is_final:
            final = FinalLine(
                shards=len(self.manifest.entries),
                rows=self.manifest.num_rows,
                previous=self.manifest.hashes[-1],
            )
            self._append(manifest_line(final))

    def close(self) -> None:
        """Lets another writer in; closing again changes nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, line: bytes) -> None:
        """Writes one manifest line for good, in one call: readers see it or not."""
        following = self.manifest.followed_by(line)
        written = os.write(self._descriptor, line + b"\n")
        if written != len(line) + 1:
            raise OSError(
                f"wrote {written} of {len(line) + 1} bytes to"
                f" {self.manifest.folder / FILE_NAME}: free some disk and run again"
            )
        os.fsync(self._descriptor)
        self.manifest = following


def encode_shard(rows: Sequence[Preference]) -> bytes:
    """The Parquet file of some preferences: equal rows give equal bytes."""
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        write_page_checksum=True,
    ) as writer:
        if rows:  # `datasets` reads files of no row group, but no empty row group
            columns = [row.model_dump() for row in rows]
            writer.write_table(pa.Table.from_pylist(columns, schema=SCHEMA), len(rows))
    return sink.getvalue()


def read_shard(folder: Path, entry: ManifestEntry) -> tuple[Preference, ...]:
    """The rows of a sealed shard, if it is still what was sealed.

    Raises:
      CorruptDataError: Naming the file, what was expected and what was found.
    """
    path = folder / entry.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptDataError(f"cannot read sealed shard {path}: {error}") from error
    if len(content) != entry.bytes:
        raise CorruptDataError(
            f"{path} has {len(content)} bytes, expected {entry.bytes}: restore it"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise CorruptDataError(
            f"{path} has sha256 {found}, expected {entry.sha256}: restore it"
        )
    rows = _decode(content, path)
    if len(rows) != entry.rows:
        raise CorruptDataError(f"{path} has {len(rows)} rows, expected {entry.rows}")
    return rows


def _decode(content: bytes, path: Path) -> tuple[Preference, ...]:
    """The rows of a Parquet file in memory."""
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        return tuple(Preference.model_validate(row) for row in table.to_pylist())
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptDataError(f"{path} is not a Parquet file: {error}") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CorruptDataError(
            f"{path} does not hold preferences: {where}: {first['msg']}"
        ) from error


def _lock(descriptor: int, path: Path) -> None:
    """Takes the folder, until the descriptor or the process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"{path} is being written by another process: wait for it or stop it"
        ) from error


def _recover(descriptor: int, folder: Path) -> Manifest:
    """The manifest as it stands, less what a crash left unfinished."""
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, size, 0)
    manifest = Manifest(folder=folder)
    whole_bytes = 0
    for line in whole_lines(content):
        manifest = manifest.followed_by(line)
        whole_bytes += len(line) + 1
    if whole_bytes < size:
        os.ftruncate(descriptor, whole_bytes)
        os.fsync(descriptor)
    for leftover in folder.glob(".shard-*.tmp"):
        leftover.unlink()
    return manifest
