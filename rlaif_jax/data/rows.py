"""Rows with fields, from local files, Hugging Face `datasets` or TFDS.

None of the three runs code that comes with a data set.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import kept_split
from rlaif_jax.data.data_sets import load_huggingface, load_tfds, one_line
from rlaif_jax.data.split_files import split_of, split_paths
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_json_list

_T = TypeVar("_T")


class Row(NamedTuple):
    """One row, and where it stands."""

    where: str  # for messages
    fields: Mapping[str, Any]
    split: str  # that it stays in: train, test or validation


def read_rows(source: SourceConfig) -> Iterator[Row]:
    """Every row of a source, in its order, with text as text.

    Raises:
      UsageError: If there is nothing at the path, or no such data set or split; if
        the split is a mixture.
      CorruptDataError: If it cannot be read.
    """
    yield from _LOADERS[source.reader](source)


def field(row: Row, name: str, kind: type[_T] | tuple[type[_T], ...]) -> _T:
    """A field of a row, of the type that its format says.

    Raises:
      CorruptDataError: If it is missing or of another type; names the row.
    """
    value = row.fields.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CorruptDataError(
            f"{row.where}: {name!r} is {type(value).__name__}: is it this format?"
        )
    return value


def row_files(source: SourceConfig) -> list[Path]:
    """The local files whose rows are a source's.

    Raises:
      UsageError: If there is none, or none of the source's split.
    """
    return split_paths(source, tuple(_READERS))


def _file_rows(source: SourceConfig) -> Iterator[Row]:
    """Rows of local files."""
    for file in row_files(source):
        split = split_of(source, file)
        suffix = next((end for end in _READERS if file.name.endswith(end)), None)
        if suffix is None:
            raise UsageError(f"{file} is none of {', '.join(_READERS)}")
        for number, fields in enumerate(_READERS[suffix](file)):
            yield Row(f"{file} row {number}", fields, split)


def _json_lines(file: Path) -> Iterator[Mapping[str, Any]]:
    """Objects, one a line."""
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines):
                if not line.strip():
                    continue
                fields = json.loads(line)
                if not isinstance(fields, dict):
                    raise CorruptDataError(
                        f"{file} row {number} is {type(fields).__name__}, not an object"
                    )
                yield fields
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise CorruptDataError(f"cannot read {file}: {one_line(error)}") from error


def _json(file: Path) -> Iterator[Mapping[str, Any]]:
    """Objects of one list, or one a line, as some `.json` files have them."""
    if _first_character(file) == "{":
        yield from _json_lines(file)
    else:
        yield from read_json_list(file, "list of rows")


def _first_character(file: Path) -> str:
    """The first character that is not blank; none of an empty file."""
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as text:
            while chunk := text.read(4096):
                if said := chunk.lstrip():
                    return said[0]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise CorruptDataError(f"cannot read {file}: {one_line(error)}") from error
    return ""


def _parquet_rows(file: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a Parquet file, a batch in memory at a time."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptDataError(f"cannot read {file}: {one_line(error)}") from error


_READERS: dict[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".json": _json,
    ".json.gz": _json,
    ".parquet": _parquet_rows,
}


def _huggingface_rows(source: SourceConfig) -> Iterator[Row]:
    """Rows of a data set on the hub, in the cache, or in a local folder."""
    split = kept_split(source.split)
    for number, fields in enumerate(load_huggingface(source)):
        yield Row(f"{source.path} row {number}", fields, split)


def _tfds_rows(source: SourceConfig) -> Iterator[Row]:
    """Rows of a TFDS data set."""
    split = kept_split(source.split)
    rows, _ = load_tfds(source)
    try:
        for number, fields in enumerate(rows):
            yield Row(f"{source.path} row {number}", _as_text(fields), split)
    except RuntimeError as error:  # what array_record raises on a checksum
        name = f"cannot read {source.path}"
        raise CorruptDataError(f"{name}: {one_line(error)}") from error


def _as_text(value: Any) -> Any:
    """TFDS's bytes as text, its arrays as lists and its scalars as numbers."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {name: _as_text(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _as_text(value.tolist())
    return value


_LOADERS: dict[str, Callable[[SourceConfig], Iterator[Row]]] = {
    "file": _file_rows,
    "huggingface": _huggingface_rows,
    "tfds": _tfds_rows,
}
