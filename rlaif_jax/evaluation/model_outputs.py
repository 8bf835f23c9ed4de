"""Completions read from the model output files of AlpacaEval."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_json_list
from rlaif_jax.labeling.prompts import instruction_text
from rlaif_jax.records import Completion, Prompt
from rlaif_jax.typing import Json

_FIELDS = ("instruction", "output", "generator")
_SUFFIXES = (".json", ".json.gz")


def is_model_outputs(path: Path) -> bool:
    """Whether a file's name is that of a JSON list, not of records a line."""
    return path.name.endswith(_SUFFIXES)


def read_model_outputs(path: Path, prompts: Sequence[Prompt]) -> list[Completion]:
    """Of every prompt, in prompt order, the output for its text as the instruction.

    Outputs for other instructions are left out.

    Raises:
      UsageError: If there is no such file, or it lacks a prompt.
      CorruptDataError: If it is no list of outputs, or has several of one instruction.
    """
    rows = read_json_list(path, "file of model outputs")
    for number, row in enumerate(rows):
        _require_texts(path, number, row)
    repeated = Counter(row["instruction"] for row in rows)
    twice = [text for text, count in repeated.items() if count > 1]
    if twice:
        raise CorruptDataError(
            f"{path} has several outputs of {len(twice)} of {len(repeated)}"
            f" instructions, {twice[0][:80]!r} the first: keep one of each"
        )
    outputs = {row["instruction"]: row for row in rows}
    texts = [instruction_text(prompt.messages) for prompt in prompts]
    missing = [text for text in texts if text not in outputs]
    if missing:
        raise UsageError(
            f"{path} lacks outputs of {len(missing)} of {len(prompts)} prompts,"
            f" {missing[0][:80]!r} the first: choose the prompts that it was made for"
        )
    return [
        Completion.create(
            prompt.prompt_id,
            outputs[text]["output"],
            generator=outputs[text]["generator"],
        )
        for prompt, text in zip(prompts, texts, strict=True)
    ]


def _require_texts(path: Path, number: int, row: Json) -> None:
    """Refuses a row without one of the three texts."""
    for name in _FIELDS:
        if not isinstance(row.get(name), str):
            raise CorruptDataError(
                f"{path} row {number}: {name} is {row.get(name)!r}, not text: is it a"
                " file of model outputs?"
            )
