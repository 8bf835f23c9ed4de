"""Data sets with columns as sources: Parquet, Hugging Face `datasets` and TFDS."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import (
    Exchange,
    file_split,
    kept_split,
    messages_of,
)
from rlaif_jax.data.data_sets import load_huggingface, load_tfds, one_line
from rlaif_jax.errors import CorruptDataError, UsageError


def read_parquet(source: SourceConfig) -> Iterator[Exchange]:
    """One column of a Parquet file, or of all those in a folder, by name.

    The rows of a file whose name begins with `test`, `validation` or the like are
    held out.

    Raises:
      UsageError: If there is no file or no such column.
      CorruptDataError: If a file is not Parquet or its pages fail their checksums.
    """
    for file in parquet_files(source):
        try:
            with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                require_column(source, parquet.schema_arrow.names)
                table = parquet.read(columns=[source.column])
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptDataError(f"cannot read {file}: {one_line(error)}") from error
        yield from _exchanges(
            table.column(source.column).to_pylist(),
            split=file_split(file.name),
            name=str(file),
        )


def parquet_files(source: SourceConfig) -> list[Path]:
    """The Parquet file at a source's path, or those of a folder, by name.

    Raises:
      UsageError: If there is none.
    """
    path = Path(source.path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise UsageError(f"no Parquet file at {path}: check the path")
    return files


def read_huggingface(source: SourceConfig) -> Iterator[Exchange]:
    """One column of a data set on the hub, or in a local folder of data files.

    Raises:
      UsageError: If there is no such data set, split or column.
      CorruptDataError: If its files cannot be read.
    """
    table = load_huggingface(source)
    require_column(source, table.column_names)
    yield from _exchanges(
        table[source.column], split=kept_split(source.split), name=source.path
    )


def read_tfds(source: SourceConfig) -> Iterator[Exchange]:
    """One feature of a TFDS data set, by name or prepared folder, without TensorFlow.

    Raises:
      UsageError: If there is no such data set, split or feature.
      CorruptDataError: If its files fail their checksums.
    """
    rows, builder = load_tfds(source)
    require_column(source, list(builder.info.features))
    try:
        cells = [row[source.column] for row in rows]
    except RuntimeError as error:  # what array_record raises on a checksum
        raise CorruptDataError(
            f"cannot read {source.path}: {one_line(error)}"
        ) from error
    yield from _exchanges(cells, split=kept_split(source.split), name=source.path)


def require_column(source: SourceConfig, columns: Collection[str]) -> None:
    """Refuses a column that the data set does not have.

    Raises:
      UsageError: Naming the columns there are, the nearest first.
    """
    if source.column not in columns:
        near = difflib.get_close_matches(source.column, columns, n=1, cutoff=0.0)
        others = [name for name in columns if name not in near]
        raise UsageError(
            f"{source.path} has no column {source.column!r}: set source.column to one"
            f" of {near + others}"
        )


def _exchanges(cells: Iterable[Any], *, split: str, name: str) -> Iterator[Exchange]:
    """Each cell as the prompt it holds."""
    for index, cell in enumerate(cells):
        if cell is None:
            yield Exchange(dropped="empty")
            continue
        try:
            messages = messages_of(cell)
        except ValueError as error:
            raise CorruptDataError(f"{name}: row {index}: {error}") from error
        if messages:
            yield Exchange(messages, split=split)
        else:
            yield Exchange(dropped="no_user_turn")
