"""The questions of MT-bench, and answers to both of their turns, as FastChat has them.

Zheng et al. 2023, Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena
(arXiv:2306.05685); github.com/lm-sys/FastChat, fastchat/llm_judge.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pydantic

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_json_lines, read_records
from rlaif_jax.records import Completion, Message, Prompt
from rlaif_jax.typing import Json

_RowT = TypeVar("_RowT", bound=pydantic.BaseModel)

REFERENCED = ("math", "reasoning", "coding")  # categories graded by a reference


class BenchQuestion(pydantic.BaseModel):
    """One row of a question file; FastChat's further keys are not read."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    question_id: int | str
    category: str
    turns: tuple[str, str]
    reference: tuple[str, ...] = ()  # of each turn, if there is one

    def references(self, turn: int) -> tuple[str, ...]:
        """What the answers up to a turn are graded by, one a turn.

        Returns:
          Nothing in a category of opinion, or if one of them is blank, as some second
          ones are in FastChat's file.
        """
        shown = self.reference[:turn] if self.category in REFERENCED else ()
        return shown if all(text.strip() for text in shown) else ()

    def first_prompt(self, source: str) -> Prompt:
        """What is asked first."""
        return Prompt.create((self._asked(0),), source=source, split="test")

    def second_prompt(self, first_answer: str, source: str) -> Prompt:
        """What is asked after the writer's own first answer."""
        answered = Message(role="assistant", content=first_answer)
        messages = (self._asked(0), answered, self._asked(1))
        return Prompt.create(messages, source=source, split="test")

    def _asked(self, turn: int) -> Message:
        return Message(role="user", content=self.turns[turn])


class _Choice(pydantic.BaseModel):
    """One of the answers that FastChat keeps of a question."""

    turns: tuple[str, str]


class _AnswerRow(pydantic.BaseModel):
    """One row of a `model_answer` file; its further keys are not read."""

    question_id: int | str
    model_id: str
    choices: tuple[_Choice, ...] = pydantic.Field(min_length=1)


class Answers(NamedTuple):
    """What one writer answered to one question."""

    generator: str
    turns: tuple[str, str]


def read_questions(path: Path) -> list[BenchQuestion]:
    """The questions of FastChat's `question.jsonl`, in file order.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If a row is no question of two turns, has one reference of
        two, or repeats a question's id.
    """
    questions: dict[int | str, BenchQuestion] = {}
    for where, row in read_json_lines(path, "question file of MT-bench"):
        question = _parsed(row, BenchQuestion, f"{where} is no question of MT-bench")
        if len(question.reference) not in (0, 2):
            raise CorruptDataError(
                f"{where}: {len(question.reference)} references of two turns"
            )
        if question.question_id in questions:
            raise CorruptDataError(f"{where} repeats question {question.question_id}")
        questions[question.question_id] = question
    if not questions:
        raise UsageError(f"{path} holds no questions")
    return list(questions.values())


def read_answers(
    questions: Sequence[BenchQuestion], paths: Sequence[Path]
) -> list[Answers]:
    """Both answers to every question, in question order.

    Args:
      questions: All must be answered.
      paths: Completion records of the first turn and of the second, or one file of
        FastChat's `model_answer` format.

    Raises:
      UsageError: If a file is missing, or answers are; told with their number.
      CorruptDataError: If a file is not in its format.
    """
    if len(paths) == 1:
        return _fastchat_answers(questions, paths[0])
    first, second = (_by_prompt(path) for path in paths)
    before = _found(
        paths[0], first, [one.first_prompt("") for one in questions], questions
    )
    asked = [
        question.second_prompt(answer.text, "")
        for question, answer in zip(questions, before, strict=True)
    ]
    after = _found(paths[1], second, asked, questions)
    return [
        Answers(one.generator, (one.text, two.text))
        for one, two in zip(before, after, strict=True)
    ]


def follow_ups(questions: Sequence[BenchQuestion], path: Path) -> list[Prompt]:
    """The second prompts of a writer whose first answers are completion records.

    Raises:
      UsageError: If the file is missing, or lacks answers.
      CorruptDataError: If a line is not a completion.
    """
    prompts = [one.first_prompt("") for one in questions]
    answered = _found(path, _by_prompt(path), prompts, questions)
    return [
        question.second_prompt(answer.text, source=f"mt_bench:{question.question_id}")
        for question, answer in zip(questions, answered, strict=True)
    ]


def _by_prompt(path: Path) -> dict[str, Completion]:
    """The first completion of every prompt."""
    found: dict[str, Completion] = {}
    for completion in read_records(path, Completion):
        found.setdefault(completion.prompt_id, completion)
    return found


def _found(
    path: Path,
    completions: Mapping[str, Completion],
    prompts: Sequence[Prompt],
    questions: Sequence[BenchQuestion],
) -> list[Completion]:
    """The completion of every prompt."""
    missing = [
        question.question_id
        for question, prompt in zip(questions, prompts, strict=True)
        if prompt.prompt_id not in completions
    ]
    _require_all(path, missing, len(questions))
    return [completions[prompt.prompt_id] for prompt in prompts]


def _fastchat_answers(questions: Sequence[BenchQuestion], path: Path) -> list[Answers]:
    """The first choice of every question in a `model_answer` file."""
    found: dict[int | str, Answers] = {}
    for where, row in read_json_lines(path, "answer file of MT-bench"):
        answer = _parsed(row, _AnswerRow, f"{where} is no answer to MT-bench")
        if answer.question_id in found:
            raise CorruptDataError(
                f"{where} answers question {answer.question_id} again"
            )
        found[answer.question_id] = Answers(answer.model_id, answer.choices[0].turns)
    ids = [question.question_id for question in questions]
    _require_all(path, [one for one in ids if one not in found], len(ids))
    return [found[one] for one in ids]


def _require_all(path: Path, missing: Sequence[int | str], total: int) -> None:
    """Refuses a file without every answer."""
    if missing:
        raise UsageError(
            f"{path} lacks answers to {len(missing)} of {total} questions,"
            f" {missing[0]} the first: let the model answer these too"
        )


def _parsed(row: Json, kind: type[_RowT], otherwise: str) -> _RowT:
    """A row as what it should be."""
    try:
        return kind.model_validate(row)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "row"
        raise CorruptDataError(f"{otherwise}: {field}: {first['msg']}") from error
