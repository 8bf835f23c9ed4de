"""The config of `plan`: another verb's, and where that is to run.

Imports no JAX, as `config` does not.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config

Task = Literal["sft", "dpo", "reward", "sample"]


class PlanConfig(Config):
    """`plan`: what it is told of the devices; all other keys are the planned verb's."""

    topology: str  # as v5e:4x8, TPUs along each dimension; or h100:16, GPUs
    slices: int = Field(default=1, ge=1)  # such, joined by a data-center network
    architecture: str | None = None  # a preset, where model.path is not there yet
    param_dtype: Literal["float32", "bfloat16"] = "float32"  # of weights not trained
    task: Task | None = None  # the planned verb; null: as its keys tell
    prompt_tokens: int | None = Field(default=None, ge=1)  # of all; null: the longest
    completion_tokens: int | None = Field(default=None, ge=1)  # of all; the longest
    examples: int | None = Field(default=None, ge=1)  # or pairs, for hours and price
    usd_per_chip_hour: float | None = Field(default=None, ge=0)
    link_gbps: float | None = Field(default=None, gt=0)  # a GPU's, to other hosts
    search: bool = False  # try meshes, remat and microbatches; as --search
    search_compiles: int = Field(default=3, ge=1)  # of what is found, for TPUs
    run: dict[str, Any] = Field(default_factory=dict)  # every key that is not above

    @model_validator(mode="before")
    @classmethod
    def _split(cls, document: Any) -> Any:
        """Sets the planned verb's keys apart."""
        if not isinstance(document, dict) or "run" in document:
            return document
        own = {key: value for key, value in document.items() if key in cls.model_fields}
        rest = {key: value for key, value in document.items() if key not in own}
        return {**own, "run": rest}

    @property
    def planned(self) -> Task:
        """The verb that is planned."""
        if self.task is not None:
            return self.task
        if "completions" in self.run:
            return "sft"
        return "dpo" if "preferences" in self.run else "sample"
