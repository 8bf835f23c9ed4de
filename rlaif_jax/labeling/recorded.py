"""Judgments and completions replayed from AlpacaEval annotation files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from rlaif_jax.annotations import Judgment, read_judgments
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.labeling.asking import Posed
from rlaif_jax.labeling.critic import identical_label, verdict_of
from rlaif_jax.labeling.prompts import instruction_text
from rlaif_jax.labeling.teacher import Draw
from rlaif_jax.records import (
    Comparison,
    Completion,
    Label,
    Verdict,
    content_hash,
)

_LONGEST_QUOTE = 80  # characters of an instruction that a message shows


class RecordedCritic:
    """Answers from an annotation file, in whichever order the texts come."""

    def __init__(self, judgments: list[Judgment], *, source: str):
        """A critic that knows these judgments.

        Raises:
          CorruptDataError: If two of them contradict each other.
        """
        self._source = source
        self._judgments: dict[tuple[str, str, str], tuple[Judgment, float | None]] = {}
        self.name = "+".join(sorted({one.annotator for one in judgments}))
        self.template_hash = content_hash("recorded", self.name)
        for one in judgments:
            p_first = None if one.preference is None else 2.0 - one.preference
            reverse = None if p_first is None else 1.0 - p_first
            self._add((one.instruction, one.output_1, one.output_2), one, p_first)
            self._add((one.instruction, one.output_2, one.output_1), one, reverse)

    @classmethod
    def from_file(cls, path: Path) -> "RecordedCritic":
        """The critic of an annotation file."""
        return cls(read_judgments(path), source=str(path))

    def questions(self, comparison: Comparison) -> Iterator[Posed]:
        """Yields nothing: nobody is asked."""
        del comparison
        yield from ()

    async def judge(self, comparison: Comparison) -> Label:
        """Returns the recorded label of a comparison.

        Raises:
          UsageError: If the file does not hold this comparison.
        """
        first, second = comparison.first.text, comparison.second.text
        if first == second:
            return identical_label(comparison, critic=self)
        instruction = instruction_text(comparison.messages)
        found = self._judgments.get((instruction, first, second))
        if found is None:
            raise UsageError(
                f"{self._source} holds no judgment of these two completions of"
                f" {_quoted(instruction)}: use the file that they came from"
            )
        judgment, p_first = found
        verdict = verdict_of(p_first)
        return Label(
            pair_id=comparison.pair_id,
            verdict=verdict,
            p_first=p_first,
            verdict_both_orders=verdict.value,
            state="unparsable" if verdict is Verdict.FAILED else "labeled",
            critic=judgment.annotator,
            critic_returned_model=judgment.annotator,
            template_hash=self.template_hash,
            cost_usd=judgment.cost_usd,
        )

    def _add(
        self, key: tuple[str, str, str], judgment: Judgment, p_first: float | None
    ) -> None:
        """Enters one judgment."""
        instruction, output_1, output_2 = key
        known = self._judgments.setdefault(key, (judgment, p_first))
        if known[1] != p_first and output_1 != output_2:
            raise CorruptDataError(
                f"{self._source} holds different judgments of the same completions of"
                f" {_quoted(instruction)}: keep one annotator's"
            )


class RecordedTeacher:
    """Completes a prompt with the output that an annotation file holds for it."""

    def __init__(
        self,
        judgments: list[Judgment],
        *,
        output: Literal["output_1", "output_2"],
        source: str,
        generator: str | None = None,
    ):
        """A teacher that knows these outputs.

        Args:
          judgments: Rows of an annotation file.
          output: Which of the two outputs to read.
          source: The file's name, for messages.
          generator: The writer's name in records; the file's own by default.

        Raises:
          CorruptDataError: If an instruction has two different outputs.
        """
        self._source = source
        self._texts: dict[str, tuple[str, str]] = {}  # instruction -> text, writer
        for one in judgments:
            pair = (
                (one.output_1, generator or one.generator_1)
                if output == "output_1"
                else (one.output_2, generator or one.generator_2)
            )
            if self._texts.setdefault(one.instruction, pair) != pair:
                raise CorruptDataError(
                    f"{source} holds different {output} of {_quoted(one.instruction)}:"
                    " keep one model's"
                )

    def questions(self, draw: Draw) -> Iterator[Posed]:
        """Yields nothing: nobody is asked."""
        del draw
        yield from ()

    async def complete(self, draw: Draw) -> Completion:
        """Returns the recorded completion of a prompt.

        Raises:
          UsageError: If the file does not hold this prompt.
        """
        prompt, _ = draw
        instruction = instruction_text(prompt.messages)
        found = self._texts.get(instruction)
        if found is None:
            raise UsageError(
                f"{self._source} holds no completion of {_quoted(instruction)}: use"
                " the file that the prompts came from"
            )
        text, writer = found
        return Completion.create(prompt.prompt_id, text, generator=writer)


def _quoted(instruction: str) -> str:
    """An instruction's beginning, for a message."""
    shown = instruction[:_LONGEST_QUOTE]
    return repr(shown) + ("..." if len(instruction) > _LONGEST_QUOTE else "")
