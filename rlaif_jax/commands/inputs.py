"""What several commands read: prompts, completions, and pairs of them."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.model_outputs import is_model_outputs, read_model_outputs
from rlaif_jax.files import read_records
from rlaif_jax.records import Comparison, Completion, Prompt


def read_prompts(path: Path, splits: Sequence[str]) -> list[Prompt]:
    """The prompts of the named splits, or all if none is named, in file order.

    Raises:
      UsageError: If the file is missing or holds no such prompt.
      CorruptDataError: If a line is not a prompt.
    """
    prompts = list(read_records(path, Prompt))
    kept = [prompt for prompt in prompts if not splits or prompt.split in splits]
    found = {prompt.split for prompt in prompts}
    require_splits(path, splits, found, is_empty=not kept)
    return kept


def require_splits(
    path: Path, splits: Sequence[str], found: set[str], *, is_empty: bool
) -> None:
    """Makes sure that a file of prompts holds what is wanted of it.

    Raises:
      UsageError: If it has no prompt of a split, or none at all.
    """
    if unknown := set(splits) - found:
        raise UsageError(
            f"{path} has no prompt of split {min(unknown)!r}, only of {sorted(found)}"
        )
    if is_empty:
        raise UsageError(f"{path} holds no prompts")


def read_completions(path: Path) -> dict[str, list[Completion]]:
    """The completions of each prompt, in file order.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If a line is not a completion.
    """
    by_prompt: dict[str, list[Completion]] = {}
    for completion in read_records(path, Completion):
        by_prompt.setdefault(completion.prompt_id, []).append(completion)
    return by_prompt


def is_usable(completion: Completion) -> bool:
    """Whether something was written, to its end or up to a limit.

    A refusal, an error and a blank text teach a model to say nothing.
    """
    return completion.finish_reason in ("stop", "length") and bool(
        completion.text.strip()
    )


def nth_completions(
    prompts: Sequence[Prompt], path: Path, nth: int = 0
) -> list[Completion]:
    """Of every prompt, in prompt order, one of its completions in a file.

    Args:
      prompts: All of them must be there: pairs must not vanish unseen.
      path: Completion records.
      nth: Which of a prompt's completions, in file order.

    Raises:
      UsageError: If the file lacks a prompt, or that many completions of it.
      CorruptDataError: If a line is not a completion.
    """
    found = read_completions(path)
    missing = [p.prompt_id for p in prompts if len(found.get(p.prompt_id, ())) <= nth]
    require_completions(path, missing, total=len(prompts), nth=nth)
    return [found[prompt.prompt_id][nth] for prompt in prompts]


def evaluated_completions(prompts: Sequence[Prompt], path: Path) -> list[Completion]:
    """Of every prompt its first completion, of records or of AlpacaEval's outputs.

    Raises:
      UsageError: If the file lacks a prompt.
      CorruptDataError: If it is neither, or has several outputs of one instruction.
    """
    if is_model_outputs(path):
        return read_model_outputs(path, prompts)
    return nth_completions(prompts, path)


def require_completions(
    path: Path, missing: Sequence[str], *, total: int, nth: int
) -> None:
    """Makes sure that a file has a completion of every prompt.

    Raises:
      UsageError: If some prompts have none, or none of that number.
    """
    if missing:
        what = "completions" if nth == 0 else f"completion number {nth + 1}"
        raise UsageError(
            f"{path} lacks {what} of {len(missing)} of {total} prompts,"
            f" {missing[0]} the first: complete or sample those splits too"
        )


def file_comparisons(prompts: Sequence[Prompt], *paths: Path) -> list[Comparison]:
    """Every pair of each prompt's completions in two or more files.

    A file that is named again stands for each prompt's next completion in it.

    Raises:
      CommandError: As `nth_completions`.
    """
    sides = [
        nth_completions(prompts, path, nth=paths[:place].count(path))
        for place, path in enumerate(paths)
    ]
    return build_comparisons(prompts, *sides)


def build_comparisons(
    prompts: Sequence[Prompt], *sides: Sequence[Completion]
) -> list[Comparison]:
    """Every pair of each prompt's completions, in the order of prompts and sides.

    Args:
      prompts: In the order of every side.
      *sides: Two or more completions of every prompt.
    """
    return [
        Comparison.create(prompt, first, second)
        for prompt, *written in zip(prompts, *sides, strict=True)
        for first, second in itertools.combinations(written, 2)
    ]
