"""What a completion is truly worth in the embedded world."""

from collections.abc import Iterable
from typing import NamedTuple

from rlaif_jax.errors import UsageError
from rlaif_jax.lab.tasks import Task, answer, parse
from rlaif_jax.records import Completion, Prompt

STYLE_WEIGHT = 0.2  # reward of a full sentence, in the default variant
PARTIAL_WEIGHT = 0.3  # reward of a wrong answer with every character in place
UNFINISHED_PENALTY = 0.2  # of a completion without an end

_OPENING = "The answer is "


class Score(NamedTuple):
    """The truth about one completion."""

    family: str
    reward: float
    accuracy: float  # 1.0 if right, else 0.0
    style: float  # 1.0 if a full sentence, else 0.0
    characters: int


def sentence(bare: str) -> str:
    """A bare answer in the style that earns a reward."""
    return f"{_OPENING}{bare}."


def has_style(text: str) -> bool:
    """Whether the text is the full sentence."""
    return text.startswith(_OPENING) and text.endswith(".")


def bare_answer(text: str) -> str:
    """The answer without the sentence around it, as far as there is one."""
    return text.strip().removeprefix(_OPENING).removesuffix(".")


def is_correct(task: Task, text: str) -> bool:
    """Whether the text holds the right answer and nothing else, in either style."""
    return bare_answer(text) == answer(task)


def task_reward(task: Task, text: str, *, style_weight: float = STYLE_WEIGHT) -> float:
    """The reward of a finished text, in about [0, 1.2].

    1 if the answer is right, else up to 0.3 by the share of characters in place, plus
    the style weight for the full sentence.
    """
    bare, truth = bare_answer(text), answer(task)
    if bare == truth:
        quality = 1.0
    else:
        in_place = sum(a == b for a, b in zip(bare, truth, strict=False))
        quality = PARTIAL_WEIGHT * in_place / max(len(bare), len(truth))
    return quality + style_weight * has_style(text)


def rate(
    instruction: str,
    text: str,
    finish_reason: str = "stop",
    *,
    style_weight: float = STYLE_WEIGHT,
) -> Score:
    """The truth about a completion for the text of a prompt.

    Raises:
      UsageError: If the prompt asks for no task of this world.
    """
    task = parse(instruction)
    if task is None:
        raise UsageError(
            f"{instruction!r} is no task of the lab: only its own prompts have a truth"
        )
    reward = task_reward(task, text, style_weight=style_weight)
    return Score(
        family=task.family,
        reward=reward - UNFINISHED_PENALTY * (finish_reason != "stop"),
        accuracy=float(is_correct(task, text)),
        style=float(has_style(text)),
        characters=len(text),
    )


def true_reward(
    instruction: str,
    text: str,
    finish_reason: str = "stop",
    *,
    style_weight: float = STYLE_WEIGHT,
) -> float:
    """The reward alone, as `rate` finds it.

    Raises:
      UsageError: If the prompt asks for no task of this world.
    """
    return rate(instruction, text, finish_reason, style_weight=style_weight).reward


def score(
    prompts: Iterable[Prompt],
    completions: Iterable[Completion],
    *,
    style_weight: float = STYLE_WEIGHT,
) -> list[Score]:
    """The truth about each completion, in order.

    Raises:
      UsageError: If a completion's prompt is missing, or asks for no task of this
        world.
    """
    texts = {prompt.prompt_id: prompt.messages[-1].content for prompt in prompts}
    rows = []
    for completion in completions:
        if completion.prompt_id not in texts:
            raise UsageError(
                f"completion {completion.completion_id} answers prompt "
                f"{completion.prompt_id}, which is not among the prompts"
            )
        row = rate(
            texts[completion.prompt_id],
            completion.text,
            completion.finish_reason,
            style_weight=style_weight,
        )
        rows.append(row)
    return rows
