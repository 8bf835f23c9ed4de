"""The configs of what a run is measured on, and of what is chosen by it.

Imports no JAX, as `config` does not.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config

_TEST = "test"


class ValidationConfig(Config):
    """When a run is evaluated on what it does not train on, besides at its end."""

    every_epochs: int | None = Field(default=None, ge=1)  # 1, if neither is given
    every_steps: int | None = Field(default=None, ge=1)  # instead of every_epochs

    @model_validator(mode="after")
    def _one_rhythm(self) -> "ValidationConfig":
        require_one_rhythm("validation", self.every_steps, self.every_epochs)
        return self


class SftValidationConfig(ValidationConfig):
    """What `sft` is evaluated on."""

    splits: tuple[str, ...] = Field(min_length=1)  # of the prompts, not trained on
    select: Literal["loss"] | None = None  # the best checkpoint; the newest, if null

    @model_validator(mode="after")
    def _no_test(self) -> "SftValidationConfig":
        if _TEST in self.splits:
            raise ValueError(
                "validation.splits has test, which only `evaluate` may read: a model"
                " that is chosen on it looks better there than it is"
            )
        return self


class PairValidationConfig(ValidationConfig):
    """What `dpo` and `reward` are evaluated on."""

    shards: int | None = Field(default=None, ge=1)  # first ones, held out; 1, if null
    preferences: Path | None = None  # a finished folder, instead of shards
    select: Literal["loss", "accuracy"] | None = None  # the newest checkpoint, if null

    @model_validator(mode="after")
    def _one_place(self) -> "PairValidationConfig":
        if self.shards is not None and self.preferences is not None:
            raise ValueError(
                "give either validation.shards, of the run's own preferences, or"
                " validation.preferences, another folder"
            )
        return self

    @property
    def held_out_shards(self) -> int:
        """How many of the run's own shards are not trained on."""
        return 0 if self.preferences else self.shards or 1


class SweepConfig(Config):
    """Runs that differ in one thing, one after the other."""

    learning_rates: tuple[float, ...] = Field(min_length=1)  # of optimizer, in order

    @model_validator(mode="after")
    def _distinct(self) -> "SweepConfig":
        if min(self.learning_rates) <= 0:
            raise ValueError("sweep.learning_rates must be more than 0")
        names = [rate_name(rate) for rate in self.learning_rates]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"sweep.learning_rates has {min(twice)} more than once")
        return self


def with_swept_rate(document: Any) -> Any:
    """A sweep's rates stand for the optimizer's, which may be left out."""
    match document:
        case {
            "sweep": {"learning_rates": [rate, *_]},
            "optimizer": dict() as optimizer,
        } if "learning_rate" not in optimizer:
            return {**document, "optimizer": optimizer | {"learning_rate": rate}}
    return document


def rate_name(rate: float) -> str:
    """A learning rate in a folder's name, to six digits."""
    return f"lr-{rate:g}"


def require_one_rhythm(
    what: str, every_steps: int | None, every_epochs: int | None
) -> None:
    """Refuses two rhythms at once.

    Raises:
      ValueError: If both are given.
    """
    if every_steps is not None and every_epochs is not None:
        raise ValueError(f"give either {what}.every_steps or {what}.every_epochs")


def require_disjoint(
    splits: tuple[str, ...], validation: SftValidationConfig | None
) -> None:
    """Refuses to train on what is validated on.

    Raises:
      ValueError: If a split is both.
    """
    if validation is None:
        return
    if not splits:
        raise ValueError(
            "splits is empty, which means all, those of validation.splits too: name"
            " the splits to train on"
        )
    if both := set(splits) & set(validation.splits):
        raise ValueError(
            f"split {min(both)!r} is trained on and validated on: what a model has"
            " learned by heart does not tell which model is better"
        )


def require_choice(sweep: SweepConfig | None, select: str | None) -> None:
    """Refuses a sweep that could not say which of its runs is the best.

    Raises:
      ValueError: If nothing selects.
    """
    if sweep is not None and select is None:
        raise ValueError(
            "sweep compares its runs on validation data: set validation.select too"
        )
