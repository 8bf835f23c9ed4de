"""Configs of MT-bench's own steps; imports no JAX, as `config` does not."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config
from rlaif_jax.config_endpoints import EndpointConfig


class FollowupConfig(Config):
    """`followup`: MT-bench's second prompts, after a writer's own first answers."""

    questions: Path  # FastChat's question.jsonl
    completions: Path  # of the first turn


class MtBenchConfig(Config):
    """`mt-bench`: grades of both turns, or verdicts against a baseline."""

    questions: Path  # FastChat's question.jsonl
    candidate: tuple[Path, ...]  # completions of both turns, or FastChat's model_answer
    baseline: tuple[Path, ...] = ()  # likewise; with grading=pairwise
    grading: Literal["single", "pairwise"] = "single"  # pairwise: in both orders
    evaluator: EndpointConfig
    template: Path | None = None  # a YAML file of yours; our own words else
    max_unanswered: int = Field(default=0, ge=0)  # grades left out at most
    budget_usd: float | None = Field(default=None, ge=0)
    dry_run: bool = False  # say what it would cost, and end

    @model_validator(mode="after")
    def _sides(self) -> "MtBenchConfig":
        for name in ("candidate", "baseline"):
            paths = getattr(self, name)
            if len(paths) > 2 or (name == "candidate" and not paths):
                raise ValueError(
                    f"{name} is two files of completions, of the first turn and of the"
                    f" second, or one of FastChat's model_answer: not {len(paths)}"
                )
        if bool(self.baseline) != (self.grading == "pairwise"):
            raise ValueError("baseline and grading=pairwise go together")
        if self.evaluator.api == "openai_decisions":
            raise ValueError("api=openai_decisions writes no grades: another api")
        return self
