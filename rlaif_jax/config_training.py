"""The configs of the verbs that train.

Imports no JAX, as `config` does not.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config
from rlaif_jax.config_losses import DpoLossConfig, LossConfig, SftLoss
from rlaif_jax.config_parts import (
    CheckpointConfig,
    GuardConfig,
    LoraConfig,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    PodConfig,
    RowsConfig,
    TokensConfig,
)
from rlaif_jax.config_validation import (
    PairValidationConfig,
    SftValidationConfig,
    SweepConfig,
    require_choice,
    require_disjoint,
    with_swept_rate,
)

Order = Literal["shuffled", "paper"]
TrackerName = Literal["tensorboard", "wandb"]


class TrainingConfig(Config):
    """What every training run has."""

    model: ModelConfig
    tokens: TokensConfig = TokensConfig()
    rows: RowsConfig = RowsConfig()
    optimizer: OptimizerConfig
    mesh: MeshConfig = MeshConfig()
    pod: PodConfig = PodConfig()
    router_weight: float = Field(default=0.0, ge=0)  # of the experts' balance loss
    batch_size: int = Field(default=8, ge=1)  # examples or pairs of one step, in all
    microbatches: int = Field(default=1, ge=1)  # parts of a batch, one after the other
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    seed: int = 0  # of the data order
    order: Order = "shuffled"  # paper: as its code has it, which has seed 0
    guard: GuardConfig = GuardConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    sweep: SweepConfig | None = None  # one run a rate, none with optimizer's
    trackers: tuple[TrackerName, ...] = ()  # get a copy of the metrics
    debug: bool = False  # NaN checks and deterministic operations

    _swept = model_validator(mode="before")(with_swept_rate)

    @model_validator(mode="after")
    def _even_parts(self) -> "TrainingConfig":
        if self.batch_size % self.microbatches:
            raise ValueError(
                f"batch_size={self.batch_size} is no multiple of"
                f" microbatches={self.microbatches}"
            )
        return self


class SftConfig(TrainingConfig):
    """`sft`: supervised fine-tuning on completions."""

    prompts: Path
    completions: Path
    splits: tuple[str, ...] = ()  # of the prompts; all, if empty
    lora: LoraConfig | None = None  # null: all weights are trained
    loss: SftLoss = "sequence_sum"  # the paper's is sum
    validation: SftValidationConfig | None = None  # null: nothing is held out

    @model_validator(mode="after")
    def _honest_choice(self) -> "SftConfig":
        require_disjoint(self.splits, self.validation)
        require_choice(self.sweep, self.validation and self.validation.select)
        return self


class PairTrainingConfig(TrainingConfig):
    """What every training run on preferences has."""

    preferences: Path  # a folder with manifest.jsonl
    wait_s: float = Field(default=3600.0, ge=0)  # for the next shard


class DpoConfig(PairTrainingConfig):
    """`dpo`: preference training on shards, finished or still growing."""

    reference_cache: Path | None = None  # log-probabilities; beside the shards if null
    lora: LoraConfig | None = None  # null: all weights are trained
    loss: LossConfig = DpoLossConfig()
    validation: PairValidationConfig | None = None  # null: nothing is held out

    @model_validator(mode="after")
    def _honest_choice(self) -> "DpoConfig":
        require_choice(self.sweep, self.validation and self.validation.select)
        return self


class RewardConfig(PairTrainingConfig):
    """`reward`: a Bradley-Terry reward model, from a language model's weights."""

    validation: PairValidationConfig = PairValidationConfig()

    @model_validator(mode="after")
    def _honest_choice(self) -> "RewardConfig":
        require_choice(self.sweep, self.validation.select)
        return self
