"""How every arm of a study is trained, writes and is judged."""

from pathlib import Path

from pydantic import Field, model_validator

from rlaif_jax.config import Config
from rlaif_jax.config_endpoints import JudgeConfig, Orders
from rlaif_jax.config_losses import DpoLossConfig, LossConfig, SftLoss
from rlaif_jax.config_parts import (
    CheckpointConfig,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TokensConfig,
)
from rlaif_jax.config_validation import (
    PairValidationConfig,
    SftValidationConfig,
    SweepConfig,
    require_choice,
    with_swept_rate,
)


class PretrainConfig(Config):
    """A base model trained from scratch, one a seed."""

    preset: str
    tokenizer: Path
    prompts: Path
    completions: Path
    tokens: TokensConfig = TokensConfig()
    optimizer: OptimizerConfig
    mesh: MeshConfig = MeshConfig()
    loss: SftLoss = "token_mean"
    batch_size: int = Field(default=64, ge=1)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)


class BaseConfig(Config):
    """The model that arms start from."""

    model: ModelConfig | None = None
    pretrain: PretrainConfig | None = None

    @model_validator(mode="after")
    def _one(self) -> "BaseConfig":
        if (self.model is None) == (self.pretrain is None):
            raise ValueError("give either base.model or base.pretrain")
        return self


class SftRecipe(Config):
    """How every arm is fine-tuned."""

    optimizer: OptimizerConfig
    mesh: MeshConfig = MeshConfig()
    loss: SftLoss = "sequence_sum"
    batch_size: int = Field(default=8, ge=1)
    epochs: int = Field(default=1, ge=1)
    checkpoint: CheckpointConfig = CheckpointConfig()
    validation: SftValidationConfig | None = None  # of every arm alike
    sweep: SweepConfig | None = None  # each arm's own best rate, by validation

    _swept = model_validator(mode="before")(with_swept_rate)

    @model_validator(mode="after")
    def _honest_choice(self) -> "SftRecipe":
        require_choice(self.sweep, self.validation and self.validation.select)
        return self


class DpoRecipe(Config):
    """How every arm with a critic is trained on its labels."""

    optimizer: OptimizerConfig
    mesh: MeshConfig = MeshConfig()
    loss: LossConfig = DpoLossConfig()
    batch_size: int = Field(default=8, ge=1)
    epochs: int = Field(default=1, ge=1)
    checkpoint: CheckpointConfig = CheckpointConfig()
    validation: PairValidationConfig | None = None  # of every arm alike
    sweep: SweepConfig | None = None  # each arm's own best rate, by validation

    _swept = model_validator(mode="before")(with_swept_rate)

    @model_validator(mode="after")
    def _honest_choice(self) -> "DpoRecipe":
        require_choice(self.sweep, self.validation and self.validation.select)
        return self


class SamplingRecipe(Config):
    """How a policy writes."""

    temperature: float = Field(default=0.7, ge=0)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float = Field(default=0.9, gt=0, le=1)
    batch_size: int = Field(default=32, ge=1)
    mesh: MeshConfig = MeshConfig()


class EvaluationConfig(Config):
    """How every arm is judged."""

    evaluator: JudgeConfig
    evaluators: tuple[JudgeConfig, ...] = ()  # more, each with a win rate of its own
    direct: tuple[tuple[str, str], ...] = ()  # arms whose completions are compared
    split: str = "test"  # of the prompts
    sampling: SamplingRecipe = SamplingRecipe()
    orders: Orders = "both"
    scorer_url: str | None = None  # POST of completions -> a mapping of figures each
