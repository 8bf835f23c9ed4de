"""What several commands read: prompts, completions, and pairs of them."""

from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_records
from rlaif_jax.records import Comparison, Completion, Prompt, content_hash


def read_prompts(path: Path, splits: Sequence[str]) -> list[Prompt]:
    """The prompts of the named splits, or all if none is named, in file order.

    Raises:
      UsageError: If the file is missing or holds no such prompt.
      CorruptDataError: If a line is not a prompt.
    """
    prompts = list(read_records(path, Prompt))
    found = {prompt.split for prompt in prompts}
    if unknown := set(splits) - found:
        raise UsageError(
            f"{path} has no prompt of split {min(unknown)!r}, only of {sorted(found)}"
        )
    kept = [prompt for prompt in prompts if not splits or prompt.split in splits]
    if not kept:
        raise UsageError(f"{path} holds no prompts")
    return kept


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


def build_comparisons(
    prompts: Sequence[Prompt], first: Path, second: Path
) -> list[Comparison]:
    """The first completion of each side for every prompt, in prompt order.

    Raises:
      UsageError: If a side lacks a prompt: pairs must not vanish unseen.
    """
    sides = (read_completions(first), read_completions(second))
    for path, side in zip((first, second), sides, strict=True):
        missing = [p.prompt_id for p in prompts if p.prompt_id not in side]
        if missing:
            raise UsageError(
                f"{path} lacks completions of {len(missing)} of {len(prompts)} prompts,"
                f" {missing[0]} the first: complete or sample those splits too"
            )
    return [
        Comparison.create(
            prompt, sides[0][prompt.prompt_id][0], sides[1][prompt.prompt_id][0]
        )
        for prompt in prompts
    ]


def comparisons_hash(comparisons: Sequence[Comparison]) -> str:
    """A hash of what is compared, in order."""
    return content_hash([comparison.pair_id for comparison in comparisons])
