"""Models that write completions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from rlaif_jax.labeling.asking import Asker, Posed
from rlaif_jax.labeling.question import Question
from rlaif_jax.records import Completion, Prompt, content_hash

_NO_TEMPLATE = content_hash("the prompt's own messages")
_SEEDS = 2**31  # what every API takes


class Draw(NamedTuple):
    """One completion to be written.

    Attributes:
      prompt: What is completed.
      number: Which of the prompt's completions, from 0.
    """

    prompt: Prompt
    number: int = 0

    def seed(self, seed: int) -> int:
        """The seed of this draw in a run with that seed; the first one's is the run's.

        The others' are drawn by a hash, so that runs with neighboring seeds share
        none.
        """
        if not self.number:
            return seed
        return int(content_hash("draw", seed, self.number), 16) % _SEEDS


def draws(prompts: Iterable[Prompt], samples: int) -> Iterator[Draw]:
    """Yields that many draws of every prompt, prompt after prompt."""
    for prompt in prompts:
        for number in range(samples):
            yield Draw(prompt, number)


@runtime_checkable
class Teacher(Protocol):
    """Completes one prompt."""

    def questions(self, draw: Draw) -> Iterator[Posed]:
        """Yields what `complete` asks."""
        ...

    async def complete(self, draw: Draw) -> Completion:
        """Returns what the teacher wrote; its finish reason says if it is usable."""
        ...


def writing_question(draw: Draw, *, seed: int) -> Question:
    """What a teacher is asked: the prompt as it is.

    Args:
      draw: The completion that is wanted.
      seed: The run's.
    """
    return Question(
        messages=draw.prompt.messages,
        item=draw.prompt.prompt_id,
        template_hash=_NO_TEMPLATE,
        seed=draw.seed(seed),
    )


@dataclass(frozen=True, kw_only=True)
class ChatTeacher:
    """A chat model that is given the prompt as it is.

    Attributes:
      asker: Asks the model.
      generator: The writer's name in records; the requested model's if None.
      seed: The run's, of the sampling, where the API has one.
    """

    asker: Asker
    generator: str | None = None
    seed: int = 0

    def questions(self, draw: Draw) -> Iterator[Posed]:
        """Yields the one question that `complete` asks."""
        yield Posed(self.asker, writing_question(draw, seed=self.seed))

    async def complete(self, draw: Draw) -> Completion:
        """Returns what the teacher wrote.

        A refusal, a prompt that is too long and a question that failed are
        completions too, told by their finish reason, so that all prompts are
        accounted for.
        """
        asker = self.asker
        outcome = await asker.ask_once(writing_question(draw, seed=self.seed))
        return Completion.create(
            draw.prompt.prompt_id,
            outcome.text,
            generator=self.generator or asker.chat.model,
            sampling={
                "model": asker.chat.model,
                "temperature": asker.temperature,
                "max_tokens": asker.max_tokens,
                "seed": draw.seed(self.seed),
                **asker.chat.settings,
            },
            finish_reason=outcome.finish_reason,
            usage=outcome.usage,
            cost_usd=outcome.cost_usd,
        )
