"""What a run will ask and cost, told before its first call."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rlaif_jax.labeling.budget import Prices
from rlaif_jax.labeling.tokens import (
    BYTES_PER_TOKEN,
    expected_prompt_tokens,
    most_prompt_tokens,
)
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

SHARE_OF_MAX_TOKENS = 0.5  # that an answer takes; nobody can know before


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of all questions of a run, each sent once, whoever has answered them already.

    Attributes:
      calls: Questions.
      prompt_tokens: Expected, at four bytes a token.
      completion_tokens: Expected, at half of what answers may take.
      cost_usd: The price of these.
      at_most_usd: What no run passes that sends each question once.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    at_most_usd: float

    @classmethod
    def of(
        cls,
        questions: Iterable[Sequence[Message]],
        *,
        max_tokens: int,
        prices: Prices,
    ) -> "Estimate":
        """The estimate of these questions.

        Args:
          questions: Rendered prompts.
          max_tokens: Of one answer.
          prices: Of the model.
        """
        calls = expected = most = 0
        for messages in questions:
            calls += 1
            expected += expected_prompt_tokens(messages)
            most += most_prompt_tokens(messages)
        answers = calls * max_tokens
        usage = Usage(
            prompt_tokens=expected,
            completion_tokens=round(answers * SHARE_OF_MAX_TOKENS),
        )
        highest = Usage(prompt_tokens=most, completion_tokens=answers)
        return cls(
            calls=calls,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost_usd=prices.cost_usd(usage),
            at_most_usd=prices.cost_usd(highest),
        )

    @classmethod
    def total(cls, parts: Sequence["Estimate"]) -> "Estimate":
        """The estimate of what several models are asked, at the price of each."""
        return cls(
            calls=sum(one.calls for one in parts),
            prompt_tokens=sum(one.prompt_tokens for one in parts),
            completion_tokens=sum(one.completion_tokens for one in parts),
            cost_usd=sum((one.cost_usd for one in parts), start=0.0),
            at_most_usd=sum((one.at_most_usd for one in parts), start=0.0),
        )

    def told(self) -> str:
        """The estimate in a sentence that says what it rests on."""
        return (
            f"estimate: {self.calls:,} calls, {self.prompt_tokens:,} tokens in (at"
            f" {BYTES_PER_TOKEN} bytes each) and {self.completion_tokens:,} out (at"
            f" {SHARE_OF_MAX_TOKENS:.0%} of max_tokens), {self.cost_usd:.4f} USD; at"
            f" most {self.at_most_usd:.4f} USD if none is sent twice"
        )

    def to_json(self) -> Json:
        """The fields, as a command's result tells them."""
        return asdict(self)
