"""Grades of MT-bench: one answer on a scale, or two of them side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rlaif_jax.errors import RefusedError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.control_tokens import without_control_tokens
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.prompts import filled, require_holes, require_turns
from rlaif_jax.labeling.question import Question
from rlaif_jax.records import Grade, Message, content_hash

Grading = Literal["single", "pairwise"]

_VERSION = 2  # of what is done to the texts and of reading; part of every hash
_MAX_UNPARSABLE_IN_A_ROW = 20  # grades, before the run is stopped
_LONGEST_QUOTE = 80  # characters of a reply that a message shows
# what may stand before a grade: FastChat's templates ask for "Rating: [[5]]"
_LABEL = r"(?:(?:final )?(?:rating|grade|score|verdict): ?)?"
_RATING = re.compile(_LABEL + r"\[\[(\d+(?:\.\d+)?)\]\]\.?", re.IGNORECASE)
_VERDICT = re.compile(_LABEL + r"\[\[((?-i:[ABC]))\]\]\.?", re.IGNORECASE)
_LOWEST, _HIGHEST = 1.0, 10.0
_WON = {"A": 0.0, "B": 1.0, "C": 0.5}  # what is shown second wins


def read_rating(reply: str) -> float | None:
    """The rating that the last line of a reply is, as in `[[7]]`, from 1 to 10.

    Searching the reply would find what it quotes of an answer that asks for a grade.

    Returns:
      None if the last line that is not blank is anything else.
    """
    found = _RATING.fullmatch(_last_line(reply))
    rating = float(found[1]) if found else None
    return rating if rating is not None and _LOWEST <= rating <= _HIGHEST else None


def read_verdict(reply: str) -> float | None:
    """What the answer shown as B won: 1 for `[[B]]`, 0 for `[[A]]`, 0.5 for `[[C]]`.

    Returns:
      None if the last line that is not blank is no verdict.
    """
    found = _VERDICT.fullmatch(_last_line(reply))
    return _WON[found[1]] if found else None


def _last_line(reply: str) -> str:
    """The last line that is not blank, without the stars of bold type."""
    lines = reply.strip().splitlines()
    return lines[-1].replace("**", "").strip() if lines else ""


_READERS = {"single": read_rating, "pairwise": read_verdict}


def form_texts(grading: Grading, turn: int, *, has_reference: bool) -> list[str]:
    """The names of the texts that a form of that kind has, turn after turn."""
    names = ["question", "reference"] if has_reference else ["question"]
    names += ["answer"] if grading == "single" else ["answer_a", "answer_b"]
    return [f"{name}_{number}" for number in range(1, turn + 1) for name in names]


@dataclass(frozen=True, kw_only=True)
class Form:
    """Turns with holes for a question of MT-bench and the answers to it.

    Attributes:
      grading: How the reply is read.
      turns: The chat.
      hash: Of all that can change a grade.
    """

    grading: Grading
    turns: tuple[Message, ...]
    hash: str

    @classmethod
    def create(
        cls,
        grading: Grading,
        turns: Sequence[Message],
        *,
        turn: int,
        has_reference: bool,
    ) -> "Form":
        """A form for one turn, with or without a reference.

        Raises:
          ValueError: If the turns are no question, lack the last question, answer or
            reference, or have a hole that is not filled.
        """
        require_turns(turns)
        texts = form_texts(grading, turn, has_reference=has_reference)
        needed = [name for name in texts if name.endswith(f"_{turn}")]
        require_holes(turns, texts, needed)
        words = [(one.role, one.content) for one in turns]
        digest = content_hash("grading", _VERSION, grading, words)
        return cls(grading=grading, turns=tuple(turns), hash=digest)

    def messages(self, texts: Mapping[str, str]) -> tuple[Message, ...]:
        """The chat that asks for the grade."""
        clean = {name: without_control_tokens(text) for name, text in texts.items()}
        return filled(self.turns, clean, salt=self.hash)


Forms = Mapping[tuple[int, bool], Form]  # turn, and whether there is a reference


class Sheet(NamedTuple):
    """What is to be graded.

    Attributes:
      question_id: Of the question.
      category: Of the question.
      turn: 1 or 2.
      order: Empty of a single answer; `ab`: the baseline is shown as A.
      form: The words around the texts.
      texts: What goes into the form's holes.
    """

    question_id: int | str
    category: str
    turn: Literal[1, 2]
    order: Literal["", "ab", "ba"]
    form: Form
    texts: Mapping[str, str]

    def question(self) -> Question:
        """What an evaluator is asked."""
        return Question(
            messages=self.form.messages(self.texts),
            item=f"mt_bench:{self.question_id}:{self.turn}{self.order}",
            template_hash=self.form.hash,
        )


@dataclass(kw_only=True)
class Grader:
    """A chat model that grades.

    Attributes:
      asker: Asks the model.
    """

    asker: Asker
    _unparsable_in_a_row: int = field(default=0, init=False)

    async def grade(self, sheet: Sheet) -> Grade:
        """Returns the grade of a sheet.

        Raises:
          StoppedError: If the run is stopping.
          CommandError: If the model cannot be asked, or answers without grades.
        """
        outcome = await self.asker.ask_once(sheet.question())
        value = None
        is_cut = outcome.finish_reason == "length"  # its last line is not its last
        if outcome.state == "answered" and not is_cut:
            value = _READERS[sheet.form.grading](outcome.text)
        if value is not None and sheet.order == "ba":
            value = 1.0 - value
        answered = "unparsable" if value is None else "graded"
        state = answered if outcome.state == "answered" else outcome.state
        self._watch(state, outcome)
        return Grade(
            question_id=sheet.question_id,
            category=sheet.category,
            turn=sheet.turn,
            order=sheet.order,
            value=value,
            state=state,
            grader=self.asker.chat.model,
            grader_returned_model=outcome.returned_model,
            template_hash=sheet.form.hash,
            reply=outcome.text or outcome.error,
            usage=outcome.usage,
            cost_usd=outcome.cost_usd,
            calls=outcome.attempts,
        )

    def _watch(self, state: str, outcome: Outcome) -> None:
        """Stops a run whose model answers, but gives no grades."""
        self._unparsable_in_a_row += 1
        if state != "unparsable":
            self._unparsable_in_a_row = 0
        if self._unparsable_in_a_row >= _MAX_UNPARSABLE_IN_A_ROW:
            words = " ".join(outcome.text.split())[-_LONGEST_QUOTE:]
            raise RefusedError(
                f"{self._unparsable_in_a_row} replies of {self.asker.chat.model!r} in a"
                f" row hold no grade; the last ({outcome.finish_reason}) ends:"
                f" {words!r}: choose an evaluator that follows instructions, or give"
                " it more max_tokens"
            )
