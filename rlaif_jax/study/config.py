"""What a study compares: arms as data, and the recipe that all of them share."""

from collections.abc import Collection
from pathlib import Path

from pydantic import Field, model_validator

from rlaif_jax.config import Config, PromptsConfig
from rlaif_jax.config_losses import DpoLossConfig, LossConfig, SftLoss
from rlaif_jax.config_parts import (
    ChatConfig,
    CheckpointConfig,
    JudgeConfig,
    LabVariant,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    Orders,
    TokensConfig,
)
from rlaif_jax.config_validation import (
    PairValidationConfig,
    SftValidationConfig,
    require_disjoint,
)
from rlaif_jax.study.claims import ClaimConfig, Headline
from rlaif_jax.study.published import published


class ArmConfig(Config):
    """One way of training: SFT on a teacher, then AI feedback if there is a critic."""

    teacher: str  # a name of teachers
    sft_splits: tuple[str, ...]  # of the prompts that the teacher demonstrates
    sft_epochs: int | None = Field(default=None, ge=1)  # instead of sft.epochs
    critic: str | None = None  # a name of critics; none: SFT alone
    aif_splits: tuple[str, ...] = ()  # of the prompts whose completions are judged

    @property
    def splits(self) -> tuple[str, ...]:
        """Every split of the training prompts that the arm touches."""
        return self.sft_splits + self.aif_splits

    @model_validator(mode="after")
    def _consistent(self) -> "ArmConfig":
        if (self.critic is None) != (not self.aif_splits):
            raise ValueError("critic and aif_splits go together")
        if set(self.sft_splits) & set(self.aif_splits):
            raise ValueError("a split is either demonstrated or judged, not both")
        return self


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
    """The model that every arm starts from."""

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


class DpoRecipe(Config):
    """How every arm with a critic is trained on its labels."""

    optimizer: OptimizerConfig
    mesh: MeshConfig = MeshConfig()
    loss: LossConfig = DpoLossConfig()
    batch_size: int = Field(default=8, ge=1)
    epochs: int = Field(default=1, ge=1)
    checkpoint: CheckpointConfig = CheckpointConfig()
    validation: PairValidationConfig | None = None  # of every arm alike


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


class StudyConfig(Config):
    """`study`: arms x seeds, and everything they share."""

    name: str
    title: str = "Is it better to let the strong model write, or judge?"
    notes: tuple[str, ...] = ()  # caveats for the report
    published: str | None = None  # a figure of the paper for the report: figure_3, ...
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    prompts: PromptsConfig  # its seed is the study's
    teachers: dict[str, ChatConfig]
    critics: dict[str, JudgeConfig] = Field(default_factory=dict)
    baseline: str  # the teacher whose completions policies are compared with
    base: BaseConfig
    tokens: TokensConfig = TokensConfig()
    sft: SftRecipe
    dpo: DpoRecipe | None = None
    student_sampling: SamplingRecipe = SamplingRecipe(temperature=1.0)
    label_orders: Orders = "both"
    evaluation: EvaluationConfig
    arms: dict[str, ArmConfig] = Field(min_length=1)
    claims: dict[str, ClaimConfig] = Field(default_factory=dict)
    headline: Headline | None = None
    workers: int = Field(default=1, ge=1)  # processes that run stages side by side

    @model_validator(mode="after")
    def _names(self) -> "StudyConfig":
        wanted: list[tuple[str, str, Collection[str]]] = [
            ("teacher", self.baseline, self.teachers)
        ]
        for arm in self.arms.values():
            wanted.append(("teacher", arm.teacher, self.teachers))
            if arm.critic is not None:
                wanted.append(("critic", arm.critic, self.critics))
                if self.dpo is None:
                    raise ValueError("an arm with a critic needs the dpo recipe")
        named = [name for c in self.claims.values() for name, _ in c.weights]
        if self.headline is not None:
            named += [self.headline.writes, self.headline.judges]
        named += [name for pair in self.evaluation.direct for name in pair]
        wanted += [("arm", name, self.arms) for name in named]
        for kind, name, table in wanted:
            if name not in table:
                raise ValueError(f"unknown {kind} {name!r}: one of {sorted(table)}")
        return self

    @model_validator(mode="after")
    def _is_published(self) -> "StudyConfig":
        if self.published is not None and (
            self.published not in (known := published().figures)
        ):
            raise ValueError(
                f"published={self.published!r} is no figure of the paper: one of"
                f" {sorted(known)}"
            )
        return self

    @model_validator(mode="after")
    def _honest_choice(self) -> "StudyConfig":
        for arm in self.arms.values():
            require_disjoint(arm.sft_splits, self.sft.validation)
        held_out = self.sft.validation.splits if self.sft.validation else ()
        if (split := self.evaluation.split) in held_out:
            raise ValueError(
                f"sft.validation.splits has {split!r}, on which the arms are compared:"
                " a choice must not be made there"
            )
        return self


class QuickstartConfig(Config):
    """`quickstart`: the study on the embedded lab."""

    variant: LabVariant = "default"
    seeds: tuple[int, ...] = Field(default=(0, 1), min_length=1)
    workers: int = Field(default=2, ge=1)  # processes; two cores are enough


class ReportConfig(Config):
    """`report`: draws what studies found, one or several side by side."""

    studies: tuple[Path, ...] = Field(min_length=1)  # run folders, or results.json
