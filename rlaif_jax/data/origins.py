"""What a run's prompts were read from: files by their hash, data sets by version."""

from collections.abc import Callable
from pathlib import Path

from rlaif_jax.config import SourceConfig
from rlaif_jax.config_sources import ROW_FORMATS
from rlaif_jax.data.data_sets import huggingface_version, tfds_version
from rlaif_jax.data.rows import row_files
from rlaif_jax.data.tables import parquet_files
from rlaif_jax.data.teacher_files import teacher_files
from rlaif_jax.files import file_sha256
from rlaif_jax.typing import Json


def origin(source: SourceConfig, content_sha256: str) -> Json:
    """A source as a person can look it up again, and a hash of what it held.

    Args:
      source: Read before: its files are there.
      content_sha256: Of all that was read from it.
    """
    reader = source.format if source.format in _VERSIONS else source.reader
    return {
        "format": source.format,
        "path": source.path,
        "reader": reader,
        "content_sha256": content_sha256,
        **_VERSIONS[reader](source),
    }


def _files(source: SourceConfig) -> Json:
    """The SHA-256 of every file that is read."""
    files = _READ.get(source.format, _file)(source)
    return {"files": {one.name: file_sha256(one) for one in files}}


def _file(source: SourceConfig) -> list[Path]:
    """The file at the path, of formats that take no folder."""
    return [Path(source.path)]


_READ: dict[str, Callable[[SourceConfig], list[Path]]] = {
    **dict.fromkeys(ROW_FORMATS, row_files),
    "teacher": teacher_files,
    "parquet": parquet_files,
}
_VERSIONS: dict[str, Callable[[SourceConfig], Json]] = {
    "file": _files,
    "huggingface": huggingface_version,
    "tfds": tfds_version,
}
