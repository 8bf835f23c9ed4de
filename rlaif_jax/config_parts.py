"""What the configs of several runs have in common.

Imports no JAX, as `config` does not.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rlaif_jax.config_base import Config
from rlaif_jax.config_validation import require_one_rhythm

# --- what may be chosen in several places -------------------------------------

Orders = Literal["both", "hashed"]  # of a comparison; hashed: one, as in the paper
Verdicts = Literal["hard", "soft"]  # soft: how probable each of the two verdicts was
LengthControl = Literal["minimal", "alpaca_eval", "none"]  # alpaca_eval: the package
Constrain = Literal["none", "structured_outputs", "json_schema"]  # of what is sampled
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
LabVariant = Literal[
    "default", "poorer_strong_teacher", "weak_critic", "undertrained", "no_style"
]


# --- the pieces ---------------------------------------------------------------


class FaultsConfig(Config):
    """The share of the lab's requests that meets each fault; together at most 1."""

    rate_limited: float = Field(default=0.0, ge=0, le=1)  # 429 with Retry-After
    server_error: float = Field(default=0.0, ge=0, le=1)  # 500
    html: float = Field(default=0.0, ge=0, le=1)  # status 200, but a web page
    truncated: float = Field(default=0.0, ge=0, le=1)  # status 200, but half the JSON
    dropped: float = Field(default=0.0, ge=0, le=1)  # cut without a response
    retry_after_s: int = Field(default=1, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_none_out(self) -> "FaultsConfig":
        total = (
            self.rate_limited
            + self.server_error
            + self.html
            + self.truncated
            + self.dropped
        )
        if total > 1:
            raise ValueError(f"the shares of faults sum to {total:g}, more than 1")
        return self


class MeshConfig(Config):
    """How many devices along each mesh axis; one of them may be -1 for the rest."""

    data: int = 1  # -1 on one axis: all devices that the others leave
    fsdp: int = -1  # shards parameters, gradients and optimizer states
    sequence: int = 1  # splits the tokens of training rows, and parameters as fsdp does
    tensor: int = 1
    expert: int = 1

    @model_validator(mode="after")
    def _one_rest(self) -> "MeshConfig":
        sizes = (self.data, self.fsdp, self.sequence, self.tensor, self.expert)
        if sum(size == -1 for size in sizes) > 1:
            raise ValueError(f"only one axis may be -1: {sizes}")
        if any(size < 1 and size != -1 for size in sizes):
            raise ValueError(f"an axis needs at least one device: {sizes}")
        return self


class PodConfig(Config):
    """When a run, of one process or of several, gives up waiting: exit code 70."""

    start_s: float = Field(default=300.0, gt=0)  # until all processes have joined
    heartbeat_s: float = Field(default=60.0, ge=2)  # of silence: a process is gone
    hang_s: float | None = Field(default=1800.0, gt=0)  # nothing moves; null: no limit


class ModelConfig(Config):
    """A model folder to start from, or a preset to initialize at random."""

    path: Path | None = None  # a folder made by import-hf, sft or dpo
    step: int | None = None  # its checkpoint; the selected or newest by default
    preset: str | None = None  # a name of models.registry; needs tokenizer
    tokenizer: Path | None = None  # a Hugging Face tokenizer folder, with a preset
    init_seed: int = 0  # of the random weights, with a preset
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    remat: Literal["none", "dots", "attention", "full", "offload"] = "none"
    # what layers keep for the backward, the rest is computed again: docs/training.md
    attention: Literal["auto", "xla", "blocks", "cudnn", "splash"] = "auto"  # backend

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelConfig":
        if (self.path is None) == (self.preset is None):
            raise ValueError("give either model.path or model.preset")
        if self.preset is not None and self.tokenizer is None:
            raise ValueError("model.preset needs model.tokenizer, a tokenizer folder")
        if self.preset is not None and self.step is not None:
            raise ValueError("model.step goes with model.path")
        if self.path is not None and (self.tokenizer or self.init_seed):
            raise ValueError("tokenizer and init_seed go with model.preset")
        return self


class UpdateConfig(Config):
    """What every optimizer has."""

    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    end_fraction: float = Field(default=0.1, ge=0, le=1)  # of the rate
    max_grad_norm: float = Field(default=10.0, gt=0)  # global L2 norm
    weights: Literal["float32", "bfloat16"] = "float32"  # bfloat16: rounded at random


class AdamWConfig(UpdateConfig):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    name: Literal["adamw"] = "adamw"
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    moments: Literal["float32", "int8"] = "float32"  # int8: of matrices


class RmspropConfig(UpdateConfig):
    """RMSprop as PyTorch has it, the paper's optimizer."""

    name: Literal["rmsprop"] = "rmsprop"
    decay: float = 0.99
    eps: float = 1e-8  # added to the square root
    moments: Literal["float32", "int8"] = "float32"  # int8: of matrices


class AdafactorConfig(UpdateConfig):
    """Adafactor (Shazeer and Stern 2018, arXiv:1804.04235), without momentum."""

    name: Literal["adafactor"] = "adafactor"
    decay: float = Field(default=0.8, gt=0, le=1)  # update t forgets t^-decay
    eps: float = Field(default=1e-30, gt=0)  # added to squared gradients
    clipping_threshold: float = Field(default=1.0, gt=0)  # of a matrix's RMS update
    relative_rate: bool = False  # the rate is of each matrix's RMS weight
    weight_decay: float = 0.0
    min_factored: int = Field(default=128, ge=2)  # rows and columns; whole, if fewer


OptimizerConfig = Annotated[
    AdamWConfig | RmspropConfig | AdafactorConfig, Field(discriminator="name")
]


class TokensConfig(Config):
    """How records become token ids."""

    template: Literal["human_assistant", "question_answer", "chat"] = "human_assistant"
    max_prompt_tokens: int = Field(default=256, ge=1)  # longer: front is cut
    max_completion_tokens: int = Field(default=256, ge=1)  # longer: end is cut
    compat: Literal["clean", "paper"] = "clean"  # paper: cut, and end, as its code does
    kept: Literal["end", "start"] = "end"  # of a prompt that compat=paper cuts

    @property
    def compat_tokens(self) -> int:
        """The paper's only limit: of a prompt with its longest completion."""
        return self.max_prompt_tokens + self.max_completion_tokens

    def most(self, num_completions: int) -> int:
        """The tokens of the longest prompt that shares a row with its completions."""
        if self.compat == "paper":  # a prompt is only cut if a completion is long
            return num_completions * self.compat_tokens
        return self.max_prompt_tokens + num_completions * self.max_completion_tokens

    @model_validator(mode="after")
    def _as_the_paper(self) -> "TokensConfig":
        if self.compat == "clean" and self.kept != "end":
            raise ValueError(
                f"tokens.kept={self.kept} goes with tokens.compat=paper: a prompt cut"
                " by the default rules keeps its end, where the question is"
            )
        if self.compat == "paper" and self.template != "human_assistant":
            raise ValueError(
                "tokens.compat=paper has the paper's template, human_assistant, not"
                f" {self.template}"
            )
        return self


class RowsConfig(Config):
    """How a batch becomes rows of tokens."""

    layout: Literal["packed", "padded"] = "packed"  # padded: a row for each completion
    length: int | None = Field(default=None, ge=8)  # tokens of a row; fitting, if null


class CheckpointConfig(Config):
    """When training saves, besides at its end."""

    every_steps: int | None = Field(default=None, ge=1)  # 1000, if neither is given
    every_epochs: int | None = Field(default=None, ge=1)  # instead of every_steps
    keep: int = Field(default=2, ge=1)  # newest ones kept, besides a selected one

    @model_validator(mode="after")
    def _one_rhythm(self) -> "CheckpointConfig":
        require_one_rhythm("checkpoint", self.every_steps, self.every_epochs)
        return self


class GuardConfig(Config):
    """Steps that are skipped: the weights stay as they are, the data go on."""

    max_in_a_row: int = Field(default=5, ge=1)  # skipped steps; then the run fails
    spike_deviations: float | None = Field(  # above the mean of 128 losses or norms
        default=None, gt=0
    )


class LoraConfig(Config):
    """Adapters that are trained in place of the weights (arXiv:2106.09685)."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)  # adapters are scaled by alpha / rank
    targets: tuple[Literal["q", "k", "v", "o", "gate", "up", "down"], ...] = ()
    # linear maps; all that every token passes through, if empty
    init_seed: int = 0  # of the adapters


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


class RayConfig(Config):
    """Where `label engine=ray` runs, and where its tasks meet."""

    address: str | None = None  # HOST:PORT of a cluster's head; null: started here
    storage: str | None = None  # a folder that all nodes share, or s3://BUCKET/PREFIX
    blocks_in_flight: int = Field(default=16, ge=1)  # tasks at a time; one, one block
    cpus_per_task: float = Field(default=1.0, gt=0)  # of a node; less: more tasks there

    @model_validator(mode="after")
    def _nodes_share(self) -> "RayConfig":
        if self.address is not None and self.storage is None:
            raise ValueError(
                "ray.address needs ray.storage too, which every node can reach: a"
                " shared folder, or s3://BUCKET/PREFIX"
            )
        return self


def asked_critics(
    config: CriticConfig | RecordedConfig | JuryConfig,
) -> list[CriticConfig]:
    """The chat models that a config has asked; none for recorded judgments."""
    seats = config.critics if isinstance(config, JuryConfig) else (config,)
    return [seat for seat in seats if isinstance(seat, CriticConfig)]
