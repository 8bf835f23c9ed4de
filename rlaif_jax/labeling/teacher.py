"""Models that write completions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rlaif_jax.labeling.asking import Asker, Posed
from rlaif_jax.labeling.question import Question
from rlaif_jax.records import Completion, Prompt, content_hash

_NO_TEMPLATE = content_hash("the prompt's own messages")


@runtime_checkable
class Teacher(Protocol):
    """Completes one prompt."""

    def questions(self, prompt: Prompt) -> Iterator[Posed]:
        """Yields what `complete` asks."""
        ...

    async def complete(self, prompt: Prompt) -> Completion:
        """Returns what the teacher wrote; its finish reason says if it is usable."""
        ...


def writing_question(prompt: Prompt, *, seed: int) -> Question:
    """What a teacher is asked: the prompt as it is."""
    return Question(
        messages=prompt.messages,
        item=prompt.prompt_id,
        template_hash=_NO_TEMPLATE,
        seed=seed,
    )


@dataclass(frozen=True, kw_only=True)
class ChatTeacher:
    """A chat model that is given the prompt as it is.

    Attributes:
      asker: Asks the model.
      generator: The writer's name in records; the requested model's if None.
      seed: Of the sampling, where the API has one.
    """

    asker: Asker
    generator: str | None = None
    seed: int = 0

    def questions(self, prompt: Prompt) -> Iterator[Posed]:
        """Yields the one question that `complete` asks."""
        yield Posed(self.asker, writing_question(prompt, seed=self.seed))

    async def complete(self, prompt: Prompt) -> Completion:
        """Returns what the teacher wrote.

        A refusal, a prompt that is too long and a question that failed are
        completions too, told by their finish reason, so that all prompts are
        accounted for.
        """
        asker = self.asker
        outcome = await asker.ask_once(writing_question(prompt, seed=self.seed))
        return Completion.create(
            prompt.prompt_id,
            outcome.text,
            generator=self.generator or asker.chat.model,
            sampling={
                "model": asker.chat.model,
                "temperature": asker.temperature,
                "max_tokens": asker.max_tokens,
                "seed": self.seed,
                **asker.chat.settings,
            },
            finish_reason=outcome.finish_reason,
            usage=outcome.usage,
            cost_usd=outcome.cost_usd,
        )
