"""Verdicts read from the annotation files of AlpacaEval."""

from pathlib import Path

import pydantic

from rlaif_jax.annotations import recorded_preference
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json_list
from rlaif_jax.records import Message, Prompt
from rlaif_jax.typing import Json, Number

_WHAT = "annotation file"


def is_preference(value: Number) -> bool:
    """Whether a number is a verdict: 0 or 1.5 for a draw, else from 1 to 2."""
    return value == 0 or 1 <= value <= 2


def outcome(preference: Number | None) -> float | None:
    """What the second output won, from 0 to 1; None stays None."""
    return None if preference is None else (preference or 1.5) - 1.0


def read_preferences(path: Path) -> list[float | None]:
    """The preference of every row: 1 to 2, or None where there is no verdict.

    Raises:
      UsageError: If there is no such file.
      CorruptDataError: If it is not an annotation file; the message names the row.
    """
    return [
        recorded_preference(path, number, row)
        for number, row in enumerate(read_json_list(path, _WHAT))
    ]


def read_outcomes(path: Path) -> dict[str, float | None]:
    """What `output_2` won on each prompt: from 0 to 1, or None without a verdict.

    The key is the id that a `Prompt` of the row's instruction has, so that outcomes
    of different files and of our own runs can be paired.

    Raises:
      UsageError: If there is no such file.
      CorruptDataError: If it is not an annotation file, or repeats an instruction.
    """
    outcomes: dict[str, float | None] = {}
    for number, row in enumerate(read_json_list(path, _WHAT)):
        prompt_id = _prompt_id(path, number, row)
        if prompt_id in outcomes:
            raise CorruptDataError(f"{path} row {number} repeats an instruction")
        outcomes[prompt_id] = outcome(recorded_preference(path, number, row))
    return outcomes


def read_rows(path: Path) -> list[Json]:
    """The rows with preferences from 1 to 2 or None, as our own exports have them.

    Raises:
      UsageError: If there is no such file.
      CorruptDataError: If it is not an annotation file, or an output is no text.
    """
    rows = read_json_list(path, _WHAT)
    for number, row in enumerate(rows):
        row["preference"] = recorded_preference(path, number, row)
        for name in ("output_1", "output_2"):
            if not isinstance(row.get(name, ""), str):
                raise CorruptDataError(f"{path} row {number}: {name} is not text")
    return rows


def _prompt_id(path: Path, number: int, row: Json) -> str:
    """The id of one row's instruction as a prompt."""
    try:
        message = Message(role="user", content=row["instruction"])
    except (KeyError, pydantic.ValidationError) as error:
        raise CorruptDataError(
            f"{path} row {number}: instruction is {row.get('instruction')!r}, not text"
        ) from error
    return Prompt.create((message,), source=str(path)).prompt_id
