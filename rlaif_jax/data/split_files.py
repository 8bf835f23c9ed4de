"""Which files of a source are of the split that is asked for."""

import re
from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import file_split, kept_split, words_of
from rlaif_jax.errors import UsageError

_PART = re.compile(r"[-_.]?\d+(-of-\d+)?$")  # `-00000-of-00002` of a file's stem


def require_paths(source: SourceConfig, suffixes: Sequence[str]) -> list[Path]:
    """The files of a source: the one at its path, or those of a folder, by name.

    Raises:
      UsageError: If there is none with one of the suffixes.
    """
    path = Path(source.path)
    if path.is_file():
        return [path]
    # a dot in front says that somebody put the file aside
    names = sorted(path.iterdir()) if path.is_dir() else []
    files = [
        one
        for one in names
        if one.name.endswith(tuple(suffixes)) and not one.name.startswith(".")
    ]
    if not files:
        raise UsageError(
            f"no {' or '.join(suffixes)} file at {path}: check the path, or set"
            " source.reader=huggingface for a name on the hub"
        )
    return files


def split_paths(source: SourceConfig, suffixes: Sequence[str]) -> list[Path]:
    """The files of a source's split.

    Of a folder whose files are named for splits (`train.jsonl`, `test.jsonl`), those
    whose name is the split's, else those whose name begins with it. A folder whose
    files name no split is of one split.

    Raises:
      UsageError: If there is no file; if the files are of other splits; if several
        splits' names begin so (`train_prefs` and `train_sft` for `train`).
    """
    files = require_paths(source, suffixes)
    if Path(source.path).is_file():
        return files
    named = {file: _split_name(file) for file in files}
    split = source.split.lower()
    for chosen in (
        [file for file in files if named[file] == split],
        [file for file in files if named[file].startswith(split)],
    ):
        names = sorted({named[file] for file in chosen})
        if len(names) == 1:
            return chosen
    splits = ", ".join(names or sorted(set(named.values())))
    if names or any(map(_is_split, named.values())):
        raise UsageError(
            f"{source.path} holds files of {splits}, of which split"
            f" {source.split!r} is not one: set source.split to one of them"
        )
    return files


def split_of(source: SourceConfig, file: Path) -> str:
    """The split that a file's rows stay in: its name's, if that is held out."""
    named = file_split(file.name)
    return kept_split(source.split) if named == "train" else named


def _split_name(file: Path) -> str:
    """What a file's name says before its number: `test_prefs`."""
    return _PART.sub("", file.name.split(".")[0]).lower()


def _is_split(name: str) -> bool:
    """Whether a file's name is one that data sets give to splits."""
    return words_of(name)[:1] == ["train"] or file_split(name) != "train"
