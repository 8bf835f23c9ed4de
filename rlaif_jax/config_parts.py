"""What the configs of several runs have in common.

Imports no JAX, as `config` does not.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config
from rlaif_jax.config_validation import require_one_rhythm

# --- what may be chosen in several places -------------------------------------

LengthControl = Literal["minimal", "alpaca_eval", "none"]  # alpaca_eval: the package
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
