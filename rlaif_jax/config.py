"""Every run's configuration, typed and frozen; `config_file` reads it.

Imports no JAX, so that `--help` answers at once; dtypes are strings here.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config
from rlaif_jax.config_batch import BatchConfig, Engine, RayConfig
from rlaif_jax.config_endpoints import (
    ChatConfig,
    CriticConfig,
    EndpointConfig,
    JudgeConfig,
    JuryConfig,
    Orders,
    RecordedConfig,
    asked_critics,
)
from rlaif_jax.config_parts import (
    FaultsConfig,
    LabVariant,
    LengthControl,
    MeshConfig,
    ModelConfig,
    PodConfig,
    RowsConfig,
    TokensConfig,
)
from rlaif_jax.config_sources import require_effect
from rlaif_jax.records import content_hash


def config_hash(config: Config) -> str:
    """A hash of everything in the config."""
    return content_hash(type(config).__name__, config.model_dump(mode="json"))


class SourceConfig(Config):
    """Where prompts are read from, and by which rules: `docs/data.md`."""

    format: Literal[
        "sharegpt",
        "teacher",
        "alpaca_eval",
        "mt_bench",
        "hh",
        "shp",
        "stack_exchange",
        "ultrafeedback",
        "ultrachat",
        "jsonl",
        "parquet",
        "huggingface",
        "tfds",
    ]
    path: str  # a file, a folder, or a data set's name on the hub
    reader: Literal["file", "huggingface", "tfds"] = "file"  # of rows, hh to ultrachat
    split: str = "train"  # of a data set; test and validation ones stay held out
    data_dir: str | None = None  # a folder inside a data set on the hub
    revision: str | None = None  # of a data set on the hub: a commit's 40 hex digits
    column: str = "prompt"  # of a Parquet, Hugging Face or TFDS data set
    rules: Literal["clean", "paper"] = "clean"  # paper: as its code reads the file
    data_fraction: float = Field(default=1.0, gt=0, le=1)  # first rows of the file
    num_turns: int = Field(default=1, ge=1)  # of a conversation, with rules=paper
    min_score_ratio: float = Field(default=2.0, ge=1)  # of a pair of shp
    generator: str | None = None  # who wrote the source's own answers; the format else

    @model_validator(mode="after")
    def _has_effect(self) -> "SourceConfig":
        require_effect(self)
        return self


class PromptsConfig(Config):
    """`prompts`: read, filter, split."""

    source: SourceConfig
    also: tuple[
        SourceConfig, ...
    ] = ()  # mixed in after it; the same prompt counts once
    skip: int = Field(default=0, ge=0)  # prompts left out at the front
    max_words: int = Field(default=2000, ge=1)  # of the user's text, as in the paper
    max_characters: int = Field(default=8000, ge=1)
    limit: int | None = Field(default=None, ge=1)  # prompts drawn of those not in test
    fractions: dict[str, float] = Field(  # split to share of those not in test
        default_factory=lambda: {"sft": 0.1, "aif": 0.9}
    )
    at_most: dict[str, int] = Field(default_factory=dict)  # split to most prompts of it
    seed: int = 0

    @model_validator(mode="after")
    def _whole(self) -> "PromptsConfig":
        if unknown := self.at_most.keys() - self.fractions.keys():
            raise ValueError(
                f"at_most has {min(unknown)!r}, which is not drawn: the splits of"
                f" fractions are {', '.join(self.fractions)}"
            )
        if self.at_most and min(self.at_most.values()) < 1:
            raise ValueError(f"at_most leaves a split no prompt: {self.at_most}")
        if abs(sum(self.fractions.values()) - 1.0) > 1e-9:
            raise ValueError(f"fractions must sum to 1: {self.fractions}")
        return self


class CompleteConfig(Config):
    """`complete`: a teacher writes."""

    prompts: Path
    splits: tuple[str, ...] = ()  # all, if empty
    teacher: ChatConfig
    generator: str | None = None  # the writer's name in records; the model's else
    samples: int = Field(default=1, ge=1)  # completions of each prompt
    seed: int = 0  # sent where the API has one: api=openai
    max_unanswered: int = Field(default=0, ge=0)  # completions left out at most
    budget_usd: float | None = Field(default=None, ge=0)
    dry_run: bool = False  # say what it would cost, and end
    engine: Engine = "local"  # batch: through the provider's Batch API
    batch: BatchConfig | None = None  # with engine=batch

    @model_validator(mode="after")
    def _batches_are_asked(self) -> "CompleteConfig":
        asked = [self.teacher] if isinstance(self.teacher, EndpointConfig) else []
        _require_engine(self.engine, self.batch, asked)
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> "CompleteConfig":
        if self.samples == 1:
            return self
        if isinstance(self.teacher, RecordedConfig):
            raise ValueError(
                f"samples={self.samples}, but a recorded teacher has one completion of"
                " a prompt: samples=1"
            )
        if self.teacher.temperature == 0:
            raise ValueError(
                f"samples={self.samples} with teacher.temperature=0 would all be the"
                " same: raise the temperature, or samples=1"
            )
        return self


class SampleConfig(Config):
    """`sample`: a checkpoint writes."""

    model: ModelConfig
    prompts: Path
    splits: tuple[str, ...] = ()
    tokens: TokensConfig = TokensConfig()
    mesh: MeshConfig = MeshConfig()
    pod: PodConfig = PodConfig()
    generator: str | None = None  # the run folder's name else
    temperature: float = Field(default=0.7, ge=0)  # 0 is greedy
    top_k: int | None = Field(default=None, ge=1)
    top_p: float = Field(default=0.9, gt=0, le=1)
    batch_size: int = Field(default=32, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _has_no_reference_answer(self) -> "SampleConfig":
        if self.tokens.compat == "paper":
            raise ValueError(
                "tokens.compat=paper cuts a prompt by the length of its completion,"
                " which is not there yet: leave it out of sample"
            )
        return self


class LabelConfig(Config):
    """`label`: a critic judges the comparisons of two or more sets of completions."""

    prompts: Path
    first: Path  # completion records
    second: Path  # the same file again: each prompt's next completion in it
    others: tuple[Path, ...] = ()  # more candidates: every two of a prompt are compared
    pairs: Literal["all", "best_worst"] = "all"  # best_worst: of several, one pair
    splits: tuple[str, ...] = ()
    critic: JudgeConfig
    orders: Orders = "both"  # hashed: one order, as in the paper
    comparisons_per_shard: int = Field(default=512, ge=1)
    max_unanswered: int = Field(default=0, ge=0)  # comparisons left out at most
    canaries: int = Field(default=0, ge=0)  # prompts; of each, what the critic must see
    budget_usd: float | None = Field(default=None, ge=0)
    dry_run: bool = False  # say what it would cost, and end
    audit: bool = False  # in the end, into OUT/audit: what `audit` tells of the labels
    engine: Literal["local", "batch", "ray"] = "local"  # docs/batches.md, docs/ray.md
    batch: BatchConfig | None = None  # with engine=batch
    ray: RayConfig | None = None  # with engine=ray

    @model_validator(mode="after")
    def _ray_is_asked(self) -> "LabelConfig":
        _require_ray(self)
        return self

    @model_validator(mode="after")
    def _canaries_are_asked(self) -> "LabelConfig":
        seats = (
            self.critic.critics
            if isinstance(self.critic, JuryConfig)
            else [self.critic]
        )
        if self.canaries and len(asked_critics(self.critic)) < len(seats):
            raise ValueError(
                f"canaries={self.canaries} are new comparisons: recorded judgments do"
                " not have them"
            )
        return self

    @model_validator(mode="after")
    def _orders_are_asked(self) -> "LabelConfig":
        _require_orders(self.critic, self.orders)
        return self

    @model_validator(mode="after")
    def _batches_are_asked(self) -> "LabelConfig":
        _require_engine(self.engine, self.batch, asked_critics(self.critic))
        return self

    @model_validator(mode="after")
    def _several_candidates(self) -> "LabelConfig":
        if self.pairs == "best_worst" and not self.others:
            raise ValueError("pairs=best_worst needs more than two candidates: others")
        return self


class AuditConfig(Config):
    """`audit`: what a critic's labels say about the critic."""

    labels: Path  # run folder of label, AlpacaEval annotation file, or folder of these
    against: Path | None = None  # another judge's, of the same comparisons: agreement
    own: tuple[str, ...] = ()  # generators of the critic's family; its name else


def _require_orders(
    critic: CriticConfig | RecordedConfig | JuryConfig, orders: Orders
) -> None:
    """Refuses to promise an order that recorded judgments do not have."""
    if orders != "both" and not asked_critics(critic):
        raise ValueError("orders is for critics that are asked: leave it out")


def _require_ray(config: LabelConfig) -> None:
    """Refuses options of Ray without it, and with it what it cannot do."""
    if config.ray is not None and config.engine != "ray":
        raise ValueError(f"ray goes with engine=ray, not engine={config.engine}")
    if config.engine != "ray":
        return
    asked = asked_critics(config.critic)
    if not asked:
        raise ValueError(
            "engine=ray spreads calls, and recorded judgments need none: leave it out"
        )
    if config.canaries:
        raise ValueError(
            f"canaries={config.canaries} go with engine=local or engine=batch: plant"
            " them in a small run of the same critic"
        )
    for critic in asked:
        if critic.constrain != "none":
            raise ValueError(
                f"constrain={critic.constrain} is probed by one process before the run,"
                " which engine=ray does not: leave one of them out"
            )


def _require_engine(
    engine: str, batch: BatchConfig | None, asked: Sequence[EndpointConfig]
) -> None:
    """Refuses options of batches, and batches, where there are none."""
    if engine != "batch" and batch is not None:
        raise ValueError(f"batch goes with engine=batch, not engine={engine}")
    if engine == "batch" and not asked:
        raise ValueError("engine=batch is for models that are asked: leave it out")
    if engine == "batch" and any(one.api == "openai_decisions" for one in asked):
        raise ValueError("api=openai_decisions has no batches: leave engine out")


class EvaluateConfig(Config):
    """`evaluate`: win rate against a baseline."""

    recorded: Path | None = None  # an AlpacaEval annotation file: nothing is asked
    prompts: Path | None = None
    splits: tuple[str, ...] = ()
    candidate: Path | None = None  # completion records, or AlpacaEval's model_outputs
    baseline: Path | None = None  # likewise; a name that ends in .json is the latter
    evaluator: JudgeConfig | None = None
    evaluators: tuple[JudgeConfig, ...] = ()  # more of them, each with its own win rate
    orders: Orders = "both"
    length_control: LengthControl = "minimal"  # docs/evaluation.md
    against: Path | None = None  # another's run folder or annotations: paired test
    max_unanswered: int = Field(default=0, ge=0)  # prompts left out at most
    budget_usd: float | None = Field(default=None, ge=0)
    dry_run: bool = False  # say what it would cost, and end

    @model_validator(mode="after")
    def _complete(self) -> "EvaluateConfig":
        judged = (self.prompts, self.candidate, self.baseline, self.evaluator)
        if self.recorded is None and None in judged:
            raise ValueError(
                "give recorded=FILE, or prompts, candidate, baseline and evaluator"
            )
        if self.recorded is not None and any((*judged, self.evaluators)):
            raise ValueError("recorded=FILE stands alone: it already holds verdicts")
        if self.recorded is not None and self.dry_run:
            raise ValueError("recorded=FILE asks nobody: dry_run=true tells nothing")
        for number, evaluator in enumerate(self.judges):
            _require_orders(evaluator, self.orders)
            if evaluator in self.judges[:number]:
                raise ValueError(
                    f"evaluators.{number - 1} is an evaluator already: to ask one"
                    " several times, set its votes"
                )
        return self

    @property
    def judges(self) -> tuple[CriticConfig | RecordedConfig | JuryConfig, ...]:
        """Every evaluator; the first one's win rate is the run's."""
        return () if self.evaluator is None else (self.evaluator, *self.evaluators)


class ImportConfig(Config):
    """`import-hf`: a Hugging Face folder becomes a model folder."""

    folder: Path | None = None  # with config.json, safetensors and a tokenizer
    repo: str | None = None  # or OWNER/NAME on the hub, downloaded into its cache
    revision: str | None = None  # of the repo: a commit's 40 hex digits, never a branch
    param_dtype: Literal["float32", "bfloat16"] = "float32"
    mesh: MeshConfig = MeshConfig()

    @model_validator(mode="after")
    def _one_origin(self) -> "ImportConfig":
        if (self.folder is None) == (self.repo is None):
            raise ValueError("give either folder or repo")
        if (self.repo is None) != (self.revision is None):
            raise ValueError("repo and revision go together: a branch may move")
        if self.revision and not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError(
                f"revision must be a commit's 40 hex digits: {self.revision!r}"
            )
        return self


class ExportConfig(Config):
    """`export-hf`: a model folder becomes a Hugging Face folder."""

    model: Path
    step: int | None = None  # its checkpoint; the selected or newest by default
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    form: Literal["whole", "adapter"] = "whole"  # adapter: PEFT's files, in float32
    base_model: str | None = None  # its name on the hub, for the card and PEFT
    evaluations: tuple[Path, ...] = ()  # run folders of evaluate, for the card

    @model_validator(mode="after")
    def _adapters_are_float32(self) -> "ExportConfig":
        if self.form == "adapter" and self.dtype != "float32":
            raise ValueError(f"form=adapter is float32: leave out dtype={self.dtype}")
        return self


class LabConfig(Config):
    """`lab`: serve the embedded world, or write its files."""

    variant: LabVariant = "default"
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)  # 0: any free port
    latency_s: float = Field(default=0.0, ge=0)  # added to every answer
    faults: FaultsConfig = FaultsConfig()  # what goes wrong, and how often
    write: Path | None = None  # write the world's files there and stop


class InspectConfig(Config):
    """`inspect`: log-ratios of a policy to its reference on preference shards."""

    policy: ModelConfig
    reference: ModelConfig
    preferences: Path
    tokens: TokensConfig = TokensConfig()
    rows: RowsConfig = RowsConfig()
    mesh: MeshConfig = MeshConfig()
    beta: float = Field(default=0.05, gt=0)
    batch_size: int = Field(default=8, ge=1)


class DoctorConfig(Config):
    """`doctor`: this machine, or a training run that failed."""

    bundle: Path | None = None  # OUT/failure of a run: repeat the step that it ended at
