"""What was seen of the models of a study, and what their answers are taken to be."""

from dataclasses import dataclass, fields

from rlaif_jax.typing import Json


@dataclass(frozen=True)
class Answers:
    """What a model's answers are taken to be in one role.

    Attributes:
      prompt_ratio: Billed tokens of a prompt to those at four bytes each.
      completion_tokens: Of one answer, in the mean.
      text_bytes: Of what it writes, in the mean.
      source: Where this is from, for people.
    """

    prompt_ratio: float
    completion_tokens: float
    text_bytes: float
    source: str


@dataclass(frozen=True)
class Seen:
    """What was seen of a model in one role; sums."""

    calls: int = 0
    prompt_tokens: int = 0
    expected_prompt_tokens: int = 0  # of the same calls
    completion_tokens: int = 0
    texts: int = 0
    text_bytes: int = 0

    def __add__(self, other: "Seen") -> "Seen":
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(Seen))
        return Seen(*sums)

    def answers(self, source: str) -> Answers:
        """The means, of a model that was called."""
        return Answers(
            self.prompt_tokens / max(1, self.expected_prompt_tokens),
            self.completion_tokens / self.calls,
            self.text_bytes / self.texts if self.texts else 0.0,
            source,
        )


def seat_of(role: str, number: int) -> str:
    """The name of one of the models that are asked in a role."""
    return f"{role}#{number}"


def agreement(pilot: Json, first: str, second: str) -> float:
    """How often two teachers write the same, or one does when it is asked twice.

    Of the prompts that both were asked about; 0 if there are none.
    """
    once, again = pilot["first"].get(first, {}), pilot["second"].get(second, {})
    both = once.keys() & again.keys()
    return sum(once[key] == again[key] for key in both) / max(1, len(both))
