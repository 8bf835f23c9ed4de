"""What is asked, whom, and the key under which the answer is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.constraints import INSTRUCTIONS
from rlaif_jax.labeling.ledger import question_key
from rlaif_jax.records import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, before it is known who answers it.

    Attributes:
      messages: The rendered prompt.
      item: The comparison or prompt that it is about, for the ledger's readers.
      template_hash: Of the words around the data.
      seed: Of the sampling, where the API has one.
      vote: Tells apart questions that are meant to be asked several times.
    """

    messages: Sequence[Message]
    item: str
    template_hash: str
    seed: int | None = None
    vote: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Who is asked, as far as it can change an answer.

    Attributes:
      api: The wire format.
      identity: Names the endpoint.
      model: The model's name, as requested.
      max_tokens: Of one answer.
      temperature: Of the sampling; the server's default if None.
      settings: Other options by name; empty where all are at their defaults.
    """

    api: str
    identity: str
    model: str
    max_tokens: int
    temperature: float | None
    settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, config: EndpointConfig) -> "Addressee":
        """The addressee of what is asked with that config."""
        return cls(
            api=config.api,
            identity=config.identity or config.base_url,
            model=config.model,
            max_tokens=config.answer_tokens,
            temperature=config.temperature,
            settings=tuple(endpoint_settings(config).items()),
        )

    def key(self, question: Question) -> str:
        """The ledger's key of a question that is put to this addressee."""
        return question_key(
            question.messages,
            api=self.api,
            endpoint=self.identity,
            max_tokens=self.max_tokens,
            model=self.model,
            seed=question.seed,
            temperature=self.temperature,
            template_hash=question.template_hash,
            vote=question.vote,
            **dict(self.settings),
        )


def endpoint_settings(config: EndpointConfig) -> Mapping[str, str]:
    """What else is sent with every question and can change an answer."""
    settings: dict[str, str] = {}
    if config.reasoning_effort is not None:
        settings["reasoning_effort"] = config.reasoning_effort
    if config.api == "openai_decisions":
        settings["instructions"] = INSTRUCTIONS
    return settings
