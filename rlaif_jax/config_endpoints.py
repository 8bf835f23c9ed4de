"""The configs of the models that are asked: teachers, critics, juries, recordings.

Imports no JAX, as `config` does not.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rlaif_jax.config_base import Config

Orders = Literal["both", "hashed"]  # of a comparison; hashed: one, as in the paper
Verdicts = Literal["hard", "soft"]  # soft: how probable each of the two verdicts was
Constrain = Literal["none", "structured_outputs", "json_schema"]  # of what is sampled
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class EndpointConfig(Config):
    """A chat model behind HTTP."""

    api: Literal["openai", "openai_responses", "openai_decisions", "anthropic"]
    base_url: str  # always explicit: the environment must not redirect a key
    model: str
    api_key_env: str | None = None  # variable that holds the key; None: loopback only
    identity: str | None = None  # names this endpoint in the ledger; base_url else
    temperature: float | None = None
    reasoning_effort: Effort | None = None  # the model's own, if null
    max_tokens: int = Field(default=512, ge=1)  # of one answer, reasoning included
    usd_per_million_input_tokens: float | None = Field(default=None, ge=0)
    usd_per_million_output_tokens: float | None = Field(default=None, ge=0)
    max_in_flight: int = Field(default=32, ge=1)  # calls at most, in the end
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)  # in and out
    timeout_s: float = Field(default=120.0, gt=0)  # of one attempt, in all
    question_timeout_s: float = Field(default=900.0, gt=0)  # of all its attempts
    max_attempts: int = Field(default=6, ge=1)

    @property
    def answer_tokens(self) -> int:
        """The most tokens of one answer that are billed."""
        return self.max_tokens if self.bills_answers else 0

    @property
    def bills_answers(self) -> bool:
        """Whether the tokens of an answer have a price."""
        return self.api != "openai_decisions"

    @model_validator(mode="after")
    def _has_effort(self) -> "EndpointConfig":
        if self.api == "anthropic" and self.reasoning_effort in ("none", "minimal"):
            raise ValueError(
                "reasoning_effort of api=anthropic is low, medium, high, xhigh or max:"
                f" {self.reasoning_effort!r}"
            )
        return self


class RecordedConfig(Config):
    """Judgments and completions replayed from AlpacaEval annotation files."""

    api: Literal["recorded"] = "recorded"
    file: Path  # *.annotations.json or .json.gz
    output: Literal["output_1", "output_2"] = "output_2"  # whose text, as a teacher


def _require_writer(
    config: EndpointConfig | RecordedConfig,
) -> EndpointConfig | RecordedConfig:
    """Refuses a model that chooses and cannot write."""
    if config.api == "openai_decisions":
        raise ValueError("api=openai_decisions judges and writes nothing: another api")
    return config


ChatConfig = Annotated[
    EndpointConfig | RecordedConfig,
    Field(discriminator="api"),
    AfterValidator(_require_writer),
]

# options of a critic that do nothing where it answers with probabilities
_NOT_OF_DECISIONS = (
    "temperature",
    "reasoning_effort",
    "max_tokens",
    "votes",
    "constrain",
)


class CriticConfig(EndpointConfig):
    """A chat model that judges, and how it is asked."""

    template: str = "verdict"  # or rationale, alpaca_eval:NAME, a YAML file's ./path
    verdicts: Verdicts = "hard"  # soft: how likely each is, by its probability
    votes: int = Field(default=1, ge=1)  # times that each order is asked
    constrain: Constrain = "none"  # the server lets it say nothing but a verdict

    @model_validator(mode="after")
    def _has_probabilities(self) -> "CriticConfig":
        if self.verdicts == "soft" and self.api == "anthropic":
            raise ValueError(
                "verdicts=soft needs token log-probabilities, which api=anthropic does"
                " not have: use votes, or another critic"
            )
        if self.verdicts == "soft" and self.reasoning_effort not in (None, "none"):
            raise ValueError(
                "verdicts=soft needs an answer without reasoning before it: set"
                f" reasoning_effort=none instead of {self.reasoning_effort}"
            )
        return self

    @model_validator(mode="after")
    def _can_be_constrained(self) -> "CriticConfig":
        takes_it = self.api in ("openai", "openai_decisions")  # refused below
        if self.constrain == "structured_outputs" and not takes_it:
            raise ValueError(
                "constrain=structured_outputs is an option of vLLM's chat format"
                f" (api=openai), not of api={self.api}: use constrain=json_schema"
            )
        return self

    @model_validator(mode="after")
    def _decides(self) -> "CriticConfig":
        if self.api != "openai_decisions":
            return self
        if self.verdicts != "soft":
            raise ValueError(
                "api=openai_decisions tells how probable each verdict is: set"
                " verdicts=soft"
            )
        fields = type(self).model_fields
        idle = [x for x in _NOT_OF_DECISIONS if getattr(self, x) != fields[x].default]
        if self.usd_per_million_output_tokens:
            idle.append("usd_per_million_output_tokens")
        if idle:
            raise ValueError(
                f"api=openai_decisions has no {', '.join(idle)}: leave that out"
            )
        return self


SeatConfig = Annotated[CriticConfig | RecordedConfig, Field(discriminator="api")]


class JuryConfig(Config):
    """Several critics that judge every comparison; the majority decides."""

    api: Literal["jury"] = "jury"
    critics: tuple[SeatConfig, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _different(self) -> "JuryConfig":
        for number, critic in enumerate(self.critics):
            if critic in self.critics[:number]:
                raise ValueError(
                    f"critics.{number} is in the jury already: to ask one critic"
                    " several times, set its votes"
                )
        return self


JudgeConfig = Annotated[
    CriticConfig | RecordedConfig | JuryConfig, Field(discriminator="api")
]


def asked_critics(
    config: CriticConfig | RecordedConfig | JuryConfig,
) -> list[CriticConfig]:
    """The chat models that a config has asked; none for recorded judgments."""
    seats = config.critics if isinstance(config, JuryConfig) else (config,)
    return [seat for seat in seats if isinstance(seat, CriticConfig)]
