"""One arm of a study as data, and what all of them may have to share."""

from typing import Literal

from pydantic import Field, model_validator

from rlaif_jax.config import Config
from rlaif_jax.config_losses import LossConfig

PairSource = Literal["teacher_student", "student_student"]


class ArmConfig(Config):
    """One way of training: SFT on a teacher, then AI feedback if there is a critic.

    Without splits to train on, the base model itself is the arm.
    """

    base: str | None = None  # a name of bases; may be left out if there is one
    teacher: str | None = None  # a name of teachers
    sft_splits: tuple[str, ...] = ()  # of the prompts that the teacher demonstrates
    sft_epochs: int | None = Field(default=None, ge=1)  # instead of sft.epochs
    critic: str | None = None  # a name of critics; none: SFT alone
    aif_splits: tuple[str, ...] = ()  # of the prompts whose completions are judged
    pairs: PairSource = "teacher_student"  # what the critic compares
    pairs_of: str | None = None  # another arm, on whose labels this one is trained
    loss: LossConfig | None = None  # instead of dpo.loss
    at_most: dict[str, int] = Field(default_factory=dict)  # split to prompts of it used
    max_steps: int | None = Field(default=None, ge=1)  # of its last training, no epochs

    @property
    def is_trained_on_pairs(self) -> bool:
        """Whether DPO follows SFT."""
        return self.critic is not None or self.pairs_of is not None

    @property
    def written_splits(self) -> tuple[str, ...]:
        """Splits whose prompts the teacher completes."""
        if self.pairs == "student_student":
            return self.sft_splits
        return self.sft_splits + self.aif_splits

    @model_validator(mode="after")
    def _consistent(self) -> "ArmConfig":
        if (self.critic is None) != (not self.aif_splits):
            raise ValueError("critic and aif_splits go together")
        if (self.teacher is None) != (not self.sft_splits):
            raise ValueError("teacher and sft_splits go together")
        if set(self.sft_splits) & set(self.aif_splits):
            raise ValueError("a split is either demonstrated or judged, not both")
        if self.critic is not None and self.pairs_of is not None:
            raise ValueError("give either critic or pairs_of: labels are another arm's")
        if self.critic is None and self.pairs != "teacher_student":
            raise ValueError(f"pairs={self.pairs} goes with a critic")
        if self.loss is not None and not self.is_trained_on_pairs:
            raise ValueError("loss goes with a critic or with pairs_of")
        if self.max_steps is not None and not self.sft_splits:
            raise ValueError("max_steps goes with training: give sft_splits")
        if not self.sft_splits and (self.is_trained_on_pairs or self.sft_epochs):
            raise ValueError("an arm without sft_splits is the base model, untrained")
        return self

    @model_validator(mode="after")
    def _amounts_count(self) -> "ArmConfig":
        used = {*self.sft_splits, *self.aif_splits}
        if unused := self.at_most.keys() - used:
            raise ValueError(
                f"at_most has {min(unused)!r}, which is no split of the arm's own: one"
                f" of {sorted(used)}"
            )
        if self.max_steps and self.sft_epochs and not self.is_trained_on_pairs:
            raise ValueError(
                "give either sft_epochs or max_steps: SFT is the arm's last training"
            )
        return self


class BudgetConfig(Config):
    """What the arms use the same amount of; all amounts are reported."""

    match: Literal["prompts", "usd", "device_flops"] = "prompts"
    usd: float | None = Field(default=None, gt=0)  # for teacher and critic of an arm
    flops: float | None = Field(default=None, gt=0)  # of an arm's training

    @model_validator(mode="after")
    def _one_amount(self) -> "BudgetConfig":
        amounts = {"usd": self.usd, "device_flops": self.flops}
        for match, amount in amounts.items():
            if (amount is None) == (self.match == match):
                name = "flops" if match == "device_flops" else match
                raise ValueError(f"budget.{name} goes with budget.match={match}")
        return self
