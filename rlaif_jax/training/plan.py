"""What a training run is told, and what it tells in the end."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
from jax.sharding import Mesh

from rlaif_jax.checkpoint.weights import Origin
from rlaif_jax.config_parts import CheckpointConfig, GuardConfig, OptimizerConfig
from rlaif_jax.config_training import Order, TrackerName
from rlaif_jax.config_validation import ValidationConfig
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.runtime import distributed
from rlaif_jax.training.step import LossFn
from rlaif_jax.typing import Json

_RESULT = "training.json"


@dataclass(frozen=True, kw_only=True)
class StartModel:
    """What a run trains from.

    Attributes:
      config: The architecture, with the adapters that are trained, if any.
      tokenizer_dir: Copied into the run's folder.
      load: The weights but for adapters, on the run's mesh; called only if needed.
      adapter_seed: Of the adapters' first values.
      origin: Where the weights are, if adapters are trained on them.
      is_spare: Whether the run may free the weights when it needs them no more.
    """

    config: TransformerConfig
    tokenizer_dir: Path
    load: Callable[[], Params]
    adapter_seed: int = 0
    origin: Origin | None = None
    is_spare: bool = False

    def __post_init__(self):
        if self.config.lora and self.origin is None:
            raise ValueError("adapters of weights that no checkpoint holds")
        if self.config.lora and self.is_spare:
            raise ValueError("the weights under adapters are needed to the end")

    @property
    def plain_config(self) -> TransformerConfig:
        """The architecture of the weights that `load` gives."""
        return self.config.replace(lora=None)

    def rounded(self, weights: str) -> Params:
        """The weights that training starts from, if it keeps them in that dtype.

        Those under adapters are not trained, and stay as they are.
        """
        params = self.load()
        if self.config.lora or weights != "bfloat16":
            return params
        return jax.tree.map(lambda leaf: leaf.astype(weights), params)

    def frozen(self) -> Params:
        """What training leaves alone: the weights under adapters, else nothing."""
        return self.load() if self.config.lora else {}


@dataclass(frozen=True, kw_only=True)
class ValidationSet:
    """Records that are not trained on, and what is asked of a model about them.

    Attributes:
      records: All of them, at least one, in an order that every process agrees on.
      loss_fn: As that of training, but without what is added for training's sake, as
        the router's loss is.
      config: When to evaluate.
      select: What the run's model is chosen by; None: it is the newest.
      data: Where the records are from, in the words of the run's config.
    """

    records: Sequence[Any]
    loss_fn: LossFn
    config: ValidationConfig
    select: Literal["loss", "accuracy"] | None
    data: Json

    def batches(self, size: int) -> list[Sequence[Any]]:
        """The records, so many at a time; the last batch may have fewer."""
        starts = range(0, len(self.records), size)
        return [self.records[start : start + size] for start in starts]


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How long, how fast, and in which order.

    Attributes:
      optimizer: With its schedule.
      batch_size: Examples or pairs of one step, over all devices.
      epochs: Passes over the data.
      max_steps: If the data last longer.
      seed: Of the data order.
      checkpoint: When to save, besides at the end.
      microbatches: Equal parts of a batch, of which one is in memory at a time.
      guard: Which steps are skipped.
      validation: What to evaluate on, if anything.
      order: A name of `feed.STREAMS`.
    """

    optimizer: OptimizerConfig
    batch_size: int
    epochs: int
    max_steps: int | None
    seed: int
    checkpoint: CheckpointConfig
    microbatches: int
    guard: GuardConfig
    validation: ValidationSet | None = None
    order: Order = "shuffled"

    @property
    def part_size(self) -> int:
        """Examples or pairs that are in memory at a time."""
        return self.batch_size // self.microbatches


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where a run works, and whom it talks to.

    Attributes:
      out: The run's folder, which becomes a model folder.
      mesh: The devices.
      say: Told what a person should know.
      progress: Told the steps done, of how many (None if not known), and metrics,
        with those of speed.
      stop: Asked between steps, with the steps done, whether to save and stop.
      trackers: That get a copy of the metrics.
    """

    out: Path
    mesh: Mesh
    progress: Callable[[int, int | None, dict[str, float]], None]
    say: Callable[[str], None] = lambda text: None
    stop: Callable[[int], bool] = distributed.stop_requested
    trackers: tuple[TrackerName, ...] = ()


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
      step: Updates done.
      loss: Of the last step's batch.
      checkpoint: The folder of the last checkpoint.
      examples_per_second: Over all steps but the first of each session.
      tokens_per_second: The same of tokens that are not padding.
      mfu: The share of the devices' peak that went into needed operations; None if
        the peak is not known.
      alarms: The step at which each that rang did so.
      skipped: Steps that changed nothing; see `guard`.
    """

    step: int
    loss: float
    checkpoint: str
    examples_per_second: float
    tokens_per_second: float = 0.0
    mfu: float | None = None
    alarms: dict[str, int] = field(default_factory=dict)
    skipped: int = 0


def finished_result(out: Path) -> TrainResult | None:
    """How the run in a folder ended, or None if it has not.

    Raises:
      CorruptDataError: If what it left cannot be read.
    """
    path = out / _RESULT
    if not path.is_file():
        return None
    try:
        return TrainResult(**read_json(path, "training result"))
    except TypeError as error:
        raise CorruptDataError(f"{path} is not a training result: {error}") from error


def write_result(out: Path, result: TrainResult) -> None:
    """Marks the run in a folder as finished."""
    write_json(out / _RESULT, asdict(result))
