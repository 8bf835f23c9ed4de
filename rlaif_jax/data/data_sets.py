"""Data sets that have a name: by Hugging Face `datasets` and by TFDS.

Only data are read: a data set's own code is never run (`datasets` no longer can, and
TFDS reads what was prepared, without TensorFlow).
"""

import re
from pathlib import Path
from typing import Any

from rlaif_jax.config import SourceConfig
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.typing import Json


def load_huggingface(source: SourceConfig) -> Any:
    """A split of a data set on the hub, in the cache, or in a local folder.

    Raises:
      UsageError: If there is no such data set or split.
      CorruptDataError: If its files cannot be read.
    """
    import datasets  # heavy: only who reads with it pays for it
    from datasets.exceptions import DatasetGenerationError

    try:
        return datasets.load_dataset(
            source.path,
            data_dir=source.data_dir,
            split=source.split,
            revision=source.revision,
        )
    except DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise CorruptDataError(
            f"cannot read {source.path}: {one_line(cause)}"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Hugging Face data set {source.path!r}, split {source.split!r}:"
            f" {one_line(error)}"
        ) from error


def load_tfds(source: SourceConfig) -> tuple[Any, Any]:
    """A split of a TFDS data set, by name or prepared folder, and its builder.

    Needs a file format with random access: array_record or parquet.

    Raises:
      UsageError: If there is no such data set or split.
    """
    import tensorflow_datasets as tfds  # heavy, as above

    try:
        is_folder = Path(source.path).is_dir()
        load: Any = tfds.builder_from_directory if is_folder else tfds.builder
        builder = load(source.path)
        return builder.as_data_source(split=source.split), builder
    except (OSError, ValueError, NotImplementedError) as error:
        raise UsageError(
            f"no TFDS data set {source.path!r}, split {source.split!r}:"
            f" {one_line(error)}"
        ) from error


def huggingface_version(source: SourceConfig) -> Json:
    """What is known of a data set's version, and the commit that it came from."""
    info = load_huggingface(source).info
    urls = " ".join(info.download_checksums or ())
    commits = sorted(set(re.findall(r"@([0-9a-f]{40})/", urls)))
    return {
        "version": None if info.version is None else str(info.version),
        "revision": ", ".join(commits) or source.revision,
    }


def tfds_version(source: SourceConfig) -> Json:
    """A TFDS data set's version."""
    _, builder = load_tfds(source)
    return {"version": str(builder.info.version)}


def one_line(error: BaseException) -> str:
    """The start of an error's text, on one line."""
    return " ".join(str(error).split())[:200]
