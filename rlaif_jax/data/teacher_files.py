"""Teacher completions in the format of the paper's data set: instruction to text."""

from collections.abc import Iterator
from pathlib import Path

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange, user_turn
from rlaif_jax.data.fractions import leading
from rlaif_jax.data.split_files import require_paths
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_json

_SUFFIX = "_completions.json"


def read_teacher(source: SourceConfig) -> Iterator[Exchange]:
    """Each instruction of one file, or of all in a folder, by name, with its text.

    The fraction is of all files together. Files whose names begin with a dot are not
    read (the public data set has one), nor are others than `*_completions.json`.

    Raises:
      UsageError: If there is no file, or they are of several teachers.
      CorruptDataError: If one is not a mapping of instructions to lists of text.
    """
    items = [
        (file, instruction, written)
        for file in teacher_files(source)
        for instruction, written in read_json(file, "teacher file").items()
    ]
    for file, instruction, written in leading(items, source.data_fraction):
        yield Exchange(
            user_turn(instruction), answer=_first(file, written, instruction)
        )


def teacher_files(source: SourceConfig) -> list[Path]:
    """The files of a source, by name.

    Raises:
      UsageError: If there is none, or their names tell of several teachers
        (`..._gpt4_completions.json`, `..._claude_completions.json`).
    """
    files = require_paths(source, (_SUFFIX,))
    names = {one.name.removesuffix(_SUFFIX).split("_")[-1] for one in files}
    if len(names) > 1:
        raise UsageError(
            f"{source.path} holds completions of several teachers,"
            f" {', '.join(sorted(names))}: name one file, or move one teacher's files"
            " to a folder of their own"
        )
    return files


def _first(file: Path, written: object, instruction: str) -> str:
    """The first completion; the paper's files have one."""
    if isinstance(written, list) and written and isinstance(written[0], str):
        return written[0]
    raise CorruptDataError(
        f"{file}: {instruction!r:.60} has no list of texts: is it a teacher file?"
    )
