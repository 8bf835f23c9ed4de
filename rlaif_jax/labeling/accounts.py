"""What a run has done and spent, in numbers that must add up."""

from collections import Counter
from dataclasses import dataclass, field

from rlaif_jax.errors import InternalError, PreemptedError
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.records import Completion, Grade, Label, Usage
from rlaif_jax.typing import Json


@dataclass(kw_only=True)
class Accounts:
    """Running totals of labels or completions, whichever run paid for them.

    Attributes:
      total: Items to do; None if that is not known in advance.
      max_unanswered: Items that may end without an answer.
      states: Items by how they ended.
      verdicts: Labels by verdict.
      calls: Calls sent.
      prompt_tokens: Billed.
      completion_tokens: Billed.
      items_usd: Billed for items.
      probes_usd: Billed for questions that are about no item; a sum of its own, as a
        resumed run may add them at another time.
    """

    total: int | None = None
    max_unanswered: int = 0
    states: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    items_usd: float = 0.0
    probes_usd: float = 0.0

    @property
    def cost_usd(self) -> float:
        """Billed for everything."""
        return self.items_usd + self.probes_usd

    @property
    def done(self) -> int:
        """Items that have ended."""
        return self.states.total()

    @property
    def is_short(self) -> bool:
        """Whether more items than allowed got no answer after every attempt."""
        return self.states["failed"] > self.max_unanswered

    def add_label(self, label: Label) -> None:
        """Counts a label."""
        self.states[label.state] += 1
        self.verdicts[label.verdict.value] += 1
        self.calls += label.calls
        self._add_tokens(label.usage)
        self.items_usd += label.cost_usd

    def add_completion(self, completion: Completion) -> None:
        """Counts a completion; its state is its finish reason."""
        self.states[completion.finish_reason] += 1
        self._add_tokens(completion.usage)
        self.items_usd += completion.cost_usd

    def add_grade(self, grade: Grade) -> None:
        """Counts a grade."""
        self.states[grade.state] += 1
        self.calls += grade.calls
        self._add_tokens(grade.usage)
        self.items_usd += grade.cost_usd

    def add_probe(self, outcome: Outcome) -> None:
        """Counts what was paid for a question that is about no item."""
        self.calls += outcome.attempts
        self._add_tokens(outcome.usage)
        self.probes_usd += outcome.cost_usd

    def check(self) -> None:
        """Makes sure that nothing was lost, counted twice or left unanswered.

        Raises:
          InternalError: If the states do not sum to the total.
          PreemptedError: If more items than allowed got no answer.
        """
        if self.total is not None and self.done != self.total:
            raise InternalError(
                f"{self.done} of {self.total} items are accounted for"
                f" ({dict(self.states)}): please report this"
            )
        if self.is_short:
            unanswered = self.states["failed"]
            raise PreemptedError(
                f"{unanswered} of {self.done} got no answer after every attempt: run"
                " the same command again to ask only these, or leave them out with"
                f" max_unanswered={unanswered}"
            )

    def spent(self) -> Json:
        """Calls, tokens and their price, as a command's result tells them."""
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_usd": self.cost_usd,
        }

    def _add_tokens(self, usage: Usage) -> None:
        """Counts billed tokens."""
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
