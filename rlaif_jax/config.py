"""Every run's configuration: typed, frozen, and read from YAML and `key=value`.

Imports no JAX, so that `--help` answers at once; dtypes are strings here.
"""

import difflib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_text, require_file
from rlaif_jax.records import content_hash
from rlaif_jax.typing import Json

ConfigT = TypeVar("ConfigT", bound="Config")

_UNION_TAGS = {"adamw", "rmsprop", "openai", "anthropic", "recorded"}  # not keys


class Config(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- the pieces ---------------------------------------------------------------


class MeshConfig(Config):
    """How many devices along each mesh axis; one of them may be -1 for the rest."""

    data: int = 1
    fsdp: int = -1
    tensor: int = 1
    expert: int = 1

    @model_validator(mode="after")
    def _one_rest(self) -> "MeshConfig":
        sizes = (self.data, self.fsdp, self.tensor, self.expert)
        if sum(size == -1 for size in sizes) > 1:
            raise ValueError(f"only one axis may be -1: {sizes}")
        if any(size < 1 and size != -1 for size in sizes):
            raise ValueError(f"an axis needs at least one device: {sizes}")
        return self


class ModelConfig(Config):
    """A model folder to start from, or a preset to initialize at random."""

    path: Path | None = None  # a folder made by import-hf, sft or dpo
    step: int | None = None  # its checkpoint; the newest by default
    preset: str | None = None  # a name of models.registry; needs tokenizer
    tokenizer: Path | None = None  # a Hugging Face tokenizer folder, with a preset
    init_seed: int = 0  # of the random weights, with a preset
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    remat: Literal["none", "full"] = "none"  # recompute each layer in the backward

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelConfig":
        if (self.path is None) == (self.preset is None):
            raise ValueError("give either model.path or model.preset")
        if self.preset is not None and self.tokenizer is None:
            raise ValueError("model.preset needs model.tokenizer, a tokenizer folder")
        return self


class AdamWConfig(Config):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    name: Literal["adamw"] = "adamw"
    learning_rate: float = Field(gt=0)
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    end_fraction: float = Field(0.1, ge=0, le=1)  # of the rate, where a decay ends
    max_grad_norm: float = Field(10.0, gt=0)  # global L2 norm


class RmspropConfig(Config):
    """RMSprop as PyTorch has it, the paper's optimizer."""

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(gt=0)
    decay: float = 0.99
    eps: float = 1e-8  # added to the square root
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    end_fraction: float = Field(0.1, ge=0, le=1)
    max_grad_norm: float = Field(10.0, gt=0)


OptimizerConfig = Annotated[AdamWConfig | RmspropConfig, Field(discriminator="name")]


class TokensConfig(Config):
    """How records become token ids."""

    template: Literal["human_assistant", "question_answer", "chat"] = "human_assistant"
    max_prompt_tokens: int = Field(256, ge=1)  # longer: the front of the user's text
    max_completion_tokens: int = Field(256, ge=1)  # longer: cut, without end token


class CheckpointConfig(Config):
    """When training saves, besides at its end."""

    every_steps: int = Field(1000, ge=1)
    keep: int = Field(2, ge=1)  # newest checkpoints kept


class EndpointConfig(Config):
    """A chat model behind HTTP."""

    api: Literal["openai", "anthropic"]
    base_url: str  # always explicit: the environment must not redirect a key
    model: str
    api_key_env: str | None = None  # variable that holds the key; None: loopback only
    identity: str | None = None  # names this endpoint in the ledger; base_url else
    temperature: float | None = None
    max_tokens: int = Field(512, ge=1)  # of one answer
    usd_per_million_input_tokens: float | None = Field(None, ge=0)
    usd_per_million_output_tokens: float | None = Field(None, ge=0)
    max_in_flight: int = Field(32, ge=1)
    timeout_s: float = Field(120.0, gt=0)  # of one attempt, in all
    max_attempts: int = Field(6, ge=1)


class RecordedConfig(Config):
    """Judgments and completions replayed from AlpacaEval annotation files."""

    api: Literal["recorded"] = "recorded"
    file: Path  # *.annotations.json or .json.gz
    output: Literal["output_1", "output_2"] = "output_2"  # whose text, as a teacher


ChatConfig = Annotated[EndpointConfig | RecordedConfig, Field(discriminator="api")]


# --- the runs -----------------------------------------------------------------


class SourceConfig(Config):
    """Where prompts are read from."""

    format: Literal[
        "sharegpt", "alpaca_eval", "jsonl", "parquet", "huggingface", "tfds"
    ]
    path: str  # a file, a folder, or a data set's name on the hub
    split: str = "train"  # of a Hugging Face or TFDS data set
    column: str = "prompt"  # of a Parquet, Hugging Face or TFDS data set


class PromptsConfig(Config):
    """`prompts`: read, filter, split."""

    source: SourceConfig
    max_words: int = Field(2000, ge=1)  # of the user's text, as in the paper
    max_characters: int = Field(8000, ge=1)
    limit: int | None = Field(None, ge=1)  # prompts drawn of those not in test
    fractions: dict[str, float] = {"sft": 0.1, "aif": 0.9}  # of those not in test
    seed: int = 0

    @model_validator(mode="after")
    def _whole(self) -> "PromptsConfig":
        if abs(sum(self.fractions.values()) - 1.0) > 1e-9:
            raise ValueError(f"fractions must sum to 1: {self.fractions}")
        return self


class CompleteConfig(Config):
    """`complete`: a teacher writes."""

    prompts: Path
    splits: tuple[str, ...] = ()  # all, if empty
    teacher: ChatConfig
    generator: str | None = None  # the writer's name in records; the model's else
    seed: int = 0  # sent to OpenAI-compatible endpoints
    budget_usd: float | None = Field(None, ge=0)


class SftConfig(Config):
    """`sft`: supervised fine-tuning on completions."""

    model: ModelConfig
    prompts: Path
    completions: Path
    splits: tuple[str, ...] = ()  # of the prompts; all, if empty
    tokens: TokensConfig = TokensConfig()
    optimizer: OptimizerConfig
    mesh: MeshConfig = MeshConfig()
    loss: Literal["sequence_sum", "token_mean"] = "sequence_sum"  # the paper's is sum
    batch_size: int = Field(8, ge=1)  # examples of one step, over all devices
    epochs: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1)
    seed: int = 0  # of the data order
    checkpoint: CheckpointConfig = CheckpointConfig()
    debug: bool = False  # NaN checks and deterministic operations


class DpoConfig(Config):
    """`dpo`: preference training on shards, finished or still growing."""

    model: ModelConfig
    preferences: Path  # a folder with manifest.jsonl
    tokens: TokensConfig = TokensConfig()
    optimizer: OptimizerConfig
    mesh: MeshConfig = MeshConfig()
    beta: float = Field(0.05, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    batch_size: int = Field(8, ge=1)  # pairs of one step, over all devices
    epochs: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1)
    seed: int = 0
    wait_s: float = Field(3600.0, ge=0)  # for the next shard of a growing folder
    checkpoint: CheckpointConfig = CheckpointConfig()
    debug: bool = False


class SampleConfig(Config):
    """`sample`: a checkpoint writes."""

    model: ModelConfig
    prompts: Path
    splits: tuple[str, ...] = ()
    tokens: TokensConfig = TokensConfig()
    mesh: MeshConfig = MeshConfig()
    generator: str | None = None  # the run folder's name else
    temperature: float = Field(0.7, ge=0)  # 0 is greedy
    top_k: int | None = Field(None, ge=1)
    top_p: float = Field(0.9, gt=0, le=1)
    batch_size: int = Field(32, ge=1)
    seed: int = 0


class LabelConfig(Config):
    """`label`: a critic judges the comparisons of two sets of completions."""

    prompts: Path
    first: Path  # completion records
    second: Path
    splits: tuple[str, ...] = ()
    critic: ChatConfig
    orders: Literal["both", "hashed"] = "both"  # hashed: one order, as in the paper
    comparisons_per_shard: int = Field(512, ge=1)
    budget_usd: float | None = Field(None, ge=0)


class EvaluateConfig(Config):
    """`evaluate`: win rate against a baseline."""

    recorded: Path | None = None  # an AlpacaEval annotation file: nothing is asked
    prompts: Path | None = None
    splits: tuple[str, ...] = ()
    candidate: Path | None = None  # completion records
    baseline: Path | None = None
    evaluator: ChatConfig | None = None
    orders: Literal["both", "hashed"] = "both"
    against: Path | None = None  # run folder of another evaluate: paired difference
    budget_usd: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> "EvaluateConfig":
        judged = (self.prompts, self.candidate, self.baseline, self.evaluator)
        if self.recorded is None and None in judged:
            raise ValueError(
                "give recorded=FILE, or prompts, candidate, baseline and evaluator"
            )
        if self.recorded is not None and any(part is not None for part in judged):
            raise ValueError("recorded=FILE stands alone: it already holds verdicts")
        return self


class BanditConfig(Config):
    """`bandit`: the paper's Figure 6."""

    sizes: Literal["notebook", "paper"] = "notebook"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    beta: float = Field(0.1, gt=0)


class ImportConfig(Config):
    """`import-hf`: a Hugging Face folder becomes a model folder."""

    folder: Path
    param_dtype: Literal["float32", "bfloat16"] = "float32"
    mesh: MeshConfig = MeshConfig()


class ExportConfig(Config):
    """`export-hf`: a model folder becomes a Hugging Face folder."""

    model: Path
    step: int | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class LabConfig(Config):
    """`lab`: serve the embedded world, or write its files."""

    variant: Literal[
        "default", "poorer_strong_teacher", "weak_critic", "undertrained", "no_style"
    ] = "default"
    host: str = "127.0.0.1"
    port: int = Field(8765, ge=0, le=65535)  # 0: any free port
    write: Path | None = None  # write the world's files there and stop


class InspectConfig(Config):
    """`inspect`: log-ratios of a policy to its reference on preference shards."""

    policy: ModelConfig
    reference: ModelConfig
    preferences: Path
    tokens: TokensConfig = TokensConfig()
    mesh: MeshConfig = MeshConfig()
    beta: float = Field(0.05, gt=0)
    batch_size: int = Field(8, ge=1)


class DoctorConfig(Config):
    """`doctor`: nothing to configure."""


# --- verbs -------------------------------------------------------------------

CONFIG_OF_VERB = {
    "quickstart": "QuickstartConfig",
    "study": "StudyConfig",
    "prompts": "PromptsConfig",
    "complete": "CompleteConfig",
    "sft": "SftConfig",
    "sample": "SampleConfig",
    "label": "LabelConfig",
    "dpo": "DpoConfig",
    "evaluate": "EvaluateConfig",
    "bandit": "BanditConfig",
    "import-hf": "ImportConfig",
    "export-hf": "ExportConfig",
    "lab": "LabConfig",
    "inspect": "InspectConfig",
    "doctor": "DoctorConfig",
}


class ConfigKey(NamedTuple):
    """One line of `--help`: a dotted key, and its type, default and meaning."""

    key: str
    text: str


def config_keys(kind: type[BaseModel], prefix: str = "") -> list[ConfigKey]:
    """Every key that a config takes, with the comment that stands beside it."""
    comments = _comments(kind)
    rows: list[ConfigKey] = []
    for name, field in kind.model_fields.items():
        models = _models_in(field.annotation)
        mapping = str(field.annotation).startswith("dict")
        if models and not mapping and len(models) <= 2:
            for model in models:
                rows += config_keys(model, f"{prefix}{name}.")
            continue
        default = "required" if field.is_required() else f"= {field.default!r}"
        note = f"  # {comments[name]}" if name in comments else ""
        rows.append(ConfigKey(prefix + name, f"{_type_name(field)} {default}{note}"))
    seen: set[str] = set()
    return [row for row in rows if not (row.key in seen or seen.add(row.key))]


def _comments(kind: type[BaseModel]) -> dict[str, str]:
    """Field name to the comment at the end of its line."""
    source = inspect.getsource(kind)
    found = re.findall(r"^    (\w+):[^#\n]*# (.+)$", source, flags=re.MULTILINE)
    return dict(found)


def _type_name(field: FieldInfo) -> str:
    """The type as a user would write it."""
    name = getattr(field.annotation, "__name__", "")
    text = name if name in {"int", "float", "str", "bool", "Path"} else ""
    plain = str(field.annotation).replace("typing.", "").replace("pathlib._local.", "")
    return text or plain.replace("pathlib.", "").replace("NoneType", "None")


# --- reading ------------------------------------------------------------------


def load_config(
    kind: type[ConfigT], arguments: Sequence[str]
) -> ConfigT:
    """Builds a config from an optional YAML file followed by `key.path=value`s.

    Args:
      kind: The config's type.
      arguments: What stood on the command line, in order.

    Returns:
      The validated config.

    Raises:
      UsageError: On a missing file, YAML that does not parse, an unknown key or a
        bad value; the message names it.
    """
    document: Json = {}
    for position, argument in enumerate(arguments):
        if "=" in argument:
            _assign(document, argument)
        elif position == 0:
            document = read_yaml(Path(argument))
        else:
            raise UsageError(f"{argument!r} is not key=value, and the file comes first")
    return validate(kind, document)


def read_yaml(path: Path) -> Json:
    """Reads a YAML 1.2 file that holds a mapping.

    Raises:
      UsageError: If it is missing, does not parse, repeats a key or is no mapping.
    """
    try:
        document = YAML(typ="safe", pure=True).load(
            read_text(require_file(path, "config"))
        )
    except YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}")
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds {type(document).__name__}, not a mapping")
    return document


def validate(kind: type[ConfigT], document: Json) -> ConfigT:
    """The document as a config.

    Raises:
      UsageError: With the first offending key, its value and what was expected.
    """
    try:
        return kind.model_validate(document)
    except pydantic.ValidationError as error:
        raise UsageError(_explain(kind, error)) from error


def config_hash(config: Config) -> str:
    """A hash of everything in the config."""
    return content_hash(type(config).__name__, config.model_dump(mode="json"))


def _assign(document: Json, argument: str) -> None:
    """Sets one `key.path=value` in a nested mapping."""
    path, _, text = argument.partition("=")
    *parents, key = path.split(".")
    for parent in parents:
        child = document.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UsageError(f"{argument!r}: {parent} is {child!r}, not a mapping")
        document = child
    try:
        document[key] = YAML(typ="safe", pure=True).load(text) if text else None
    except YAMLError as error:
        raise UsageError(f"{argument!r} has a value that is not YAML") from error


def _explain(kind: type[BaseModel], error: pydantic.ValidationError) -> str:
    """One line for the first thing that is wrong."""
    # an unknown key explains a missing one, so it is told first
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    where = ".".join(
        str(part)
        for i, part in enumerate(first["loc"])
        if not i or part not in _UNION_TAGS
    )
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        near = difflib.get_close_matches(name, _known_keys(kind, first["loc"]), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown config key {where!r}{hint}"
    if first["type"] == "missing":
        return f"config key {where!r} is missing: add it to the YAML or as {where}=..."
    value = first.get("input")
    shown = "" if isinstance(value, dict) else f" (got {value!r})"
    message = first["msg"].removeprefix("Value error, ")
    return f"config {where}: {message}{shown}" if where else f"config: {message}"


def _known_keys(kind: Any, location: tuple[int | str, ...]) -> list[str]:
    """Field names at the place where an unknown key was found."""
    kinds = [kind]
    for part in location[:-1]:
        children = [
            candidate
            for known in kinds
            if str(part) in known.model_fields
            for candidate in _models_in(known.model_fields[str(part)].annotation)
        ]
        kinds = children or kinds  # a union's tag appears in the location too
    return sorted({name for known in kinds for name in known.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every config type inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [model for part in inner for model in _models_in(part)]
