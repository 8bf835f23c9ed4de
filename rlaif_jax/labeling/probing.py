"""Whether a server keeps a critic to its choices, found out before the run.

Servers ignore options that they do not know: vLLM answers HTTP 200 and unconstrained
text to the names that it used before 0.12. So the first call asks for something else,
and only a reply that is a choice all the same shows that the constraint holds.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from rlaif_jax.config_endpoints import Constrain
from rlaif_jax.errors import PreemptedError, RefusedError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.labeling.prompts import Template
from rlaif_jax.labeling.question import Question
from rlaif_jax.records import Message

QUESTION: Sequence[Message] = (
    Message(role="user", content="Write one short sentence about the sea."),
)
_LONGEST_QUOTE = 80  # characters of a reply that a message shows


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One question to a constrained critic that no verdict answers.

    Attributes:
      asker: Asks the critic; its ledger keeps the answer, and its budget pays.
      template: With the grammar of what the constraint allows.
      constrain: The constraint.
    """

    asker: Asker
    template: Template
    constrain: Constrain

    async def outcomes(self) -> list[Outcome]:
        """What came of the question, in this run and in earlier ones.

        It is asked once a ledger. After a reply that was no choice the next run asks
        again: the server may be another one by then.

        Raises:
          RefusedError: If the constraint does not hold.
          PreemptedError: If there was no answer.
          CommandError: As `Asker.ask_once`.
        """
        outcomes: list[Outcome] = []
        for number in itertools.count():
            num_replayed = self.asker.num_replayed
            outcome = await self.asker.ask_once(
                Question(
                    messages=QUESTION,
                    item=f"probe:{self.constrain}",
                    template_hash=self.template.hash,
                    vote=number,
                )
            )
            outcomes.append(outcome)
            if self._holds(outcome):
                break
            if self.asker.num_replayed == num_replayed:
                raise self._failure(outcome)
        return outcomes

    def _holds(self, outcome: Outcome) -> bool:
        """Whether the reply is a choice, though the question asked for none."""
        if outcome.state != "answered" or outcome.finish_reason == "length":
            return False
        return self.template.grammar.choice(outcome.text) is not None

    def _failure(self, outcome: Outcome) -> RefusedError | PreemptedError:
        """Why the run cannot begin."""
        name = f"{self.asker.chat.model} at {self.asker.chat.host}"
        if outcome.state == "failed":
            return PreemptedError(
                f"{name} did not answer the question that tests"
                f" constrain={self.constrain}: run the same command again; the last:"
                f" {outcome.error}"
            )
        said = " ".join(outcome.text.split())[:_LONGEST_QUOTE]
        return RefusedError(
            f"constrain={self.constrain} does not hold: {name} was to reply one of"
            f" {self.template.grammar.choices} and replied {said!r}"
            f" ({outcome.finish_reason}). {_ADVICE[self.constrain]}"
        )


_ADVICE: dict[Constrain, str] = {
    "structured_outputs": "It is an option of vLLM 0.12 and later: use another server,"
    " constrain=json_schema (SGLang, older vLLM), or constrain=none",
    "json_schema": "Give it more max_tokens if it was cut off (length); else use a"
    " server with structured outputs, or constrain=none",
}
