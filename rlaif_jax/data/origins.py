"""What a run's prompts were read from: files by their hash, data sets by version."""

from collections.abc import Callable
from pathlib import Path

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.data_sets import huggingface_version, tfds_version
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
    """The SHA-256 of the file, or of every file of the folder that may be read."""
    path = Path(source.path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {"files": {one.name: file_sha256(one) for one in files if one.is_file()}}


_VERSIONS: dict[str, Callable[[SourceConfig], Json]] = {
    "file": _files,
    "huggingface": huggingface_version,
    "tfds": tfds_version,
}
