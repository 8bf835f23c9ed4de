"""Models that write completions."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rlaif_jax.labeling.asking import Asker
from rlaif_jax.records import Completion, Prompt, content_hash

_NO_TEMPLATE = content_hash("the prompt's own messages")


@runtime_checkable
class Teacher(Protocol):
    """Completes one prompt."""

    async def complete(self, prompt: Prompt) -> Completion:
        """Returns what the teacher wrote; its finish reason says if it is usable."""
        ...


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

    async def complete(self, prompt: Prompt) -> Completion:
        """Returns what the teacher wrote.

        A refusal, a prompt that is too long and a question that failed are
        completions too, told by their finish reason, so that all prompts are
        accounted for.
        """
        asker = self.asker
        outcome = await asker.ask_once(
            prompt.messages,
            item=prompt.prompt_id,
            template_hash=_NO_TEMPLATE,
            seed=self.seed,
        )
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
