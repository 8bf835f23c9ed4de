"""AlpacaEval's annotation files: two outputs of a prompt, and which is better."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json_list
from rlaif_jax.typing import Json

_NO_VERDICT = -1  # what AlpacaEval stores where its annotator gave no answer
_PRICES = ("price_per_example", "preference_price_per_example")  # older, newer


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """One row of an annotation file.

    Attributes:
      instruction: The prompt's text.
      output_1: One completion.
      output_2: The other.
      generator_1: Who wrote `output_1`.
      generator_2: Who wrote `output_2`.
      annotator: Who judged.
      preference: From 1, `output_1` is better, to 2, `output_2` is; None: no verdict.
      cost_usd: What the judgment was billed; 0 if not recorded.
    """

    instruction: str
    output_1: str
    output_2: str
    generator_1: str
    generator_2: str
    annotator: str
    preference: float | None
    cost_usd: float


def read_judgments(path: Path) -> list[Judgment]:
    """The rows of an annotation file, `.json` or `.json.gz`.

    Raises:
      UsageError: If there is no such file.
      CorruptDataError: If it is not one; the message names the row.
    """
    rows = read_json_list(path, "annotation file")
    return [judgment_of(path, number, row) for number, row in enumerate(rows)]


def judgment_of(path: Path, number: int, row: Json) -> Judgment:
    """One row of an annotation file, checked.

    Args:
      path: The annotation file, for messages.
      number: Of the row, likewise.
      row: As AlpacaEval writes it; names that are missing or null are made up.

    Raises:
      CorruptDataError: If a text or the preference is missing, or not one.
    """
    texts: dict[str, str] = {}
    for name in ("instruction", "output_1", "output_2"):
        value: Any = row.get(name)
        if not isinstance(value, str):
            raise CorruptDataError(f"{path} row {number}: {name} is not text")
        texts[name] = value
    return Judgment(
        **texts,
        generator_1=str(row.get("generator_1") or "output_1"),
        generator_2=str(row.get("generator_2") or "output_2"),
        annotator=str(row.get("annotator") or "recorded"),
        preference=recorded_preference(path, number, row),
        cost_usd=_price(row),
    )


def recorded_preference(path: Path, number: int, row: Json) -> float | None:
    """The preference of one row, from 1 to 2, or None where there is no verdict.

    Args:
      path: The annotation file, for messages.
      number: Of the row, likewise.
      row: With `preference`: 1 if `output_1` is better, 2 if `output_2`, 0 or 1.5 for
        a draw, in between for an uncertain verdict, null or -1 for none.

    Raises:
      CorruptDataError: If it has none, or one off that scale.
    """
    if "preference" not in row:
        raise CorruptDataError(f"{path} row {number} has no preference")
    value = row["preference"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (is_number and value == _NO_VERDICT):
        return None
    if is_number and value == 0:  # how older files write a draw
        return 1.5
    if is_number and 1 <= value <= 2:
        return float(value)
    raise CorruptDataError(
        f"{path} row {number}: preference is {value!r}, not 0, 1 to 2 or null"
    )


def _price(row: Json) -> float:
    """What a row says that it cost; 0 if it does not."""
    for name in _PRICES:
        price = row.get(name)
        if isinstance(price, int | float) and 0 <= price < math.inf:
            return float(price)
    return 0.0
