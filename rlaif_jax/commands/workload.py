"""What a training run computes on, and its steps, with shapes in place of data."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlaif_jax.commands.policy import plain_config, with_choices
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.commands.training import (
    adapted,
    require_folder_for_adapters,
    router_weight,
)
from rlaif_jax.config_parts import LoraConfig, ModelConfig, TokensConfig
from rlaif_jax.config_training import DpoConfig, RewardConfig, SftConfig, TrainingConfig
from rlaif_jax.data.packing import Example, PackedRows, Pair
from rlaif_jax.errors import UsageError
from rlaif_jax.models import Params, TransformerConfig, frozen_params
from rlaif_jax.models.flops import (
    TokenCounts,
    forward_flops,
    recomputed_flops,
    training_flops,
)
from rlaif_jax.models.registry import preset
from rlaif_jax.planning.estimate import Demand, Estimate, Step
from rlaif_jax.planning.memory_model import MemoryModel
from rlaif_jax.planning.modelled import StepModel
from rlaif_jax.planning.shapes import pair_shapes, row_shapes, weight_shapes
from rlaif_jax.planning.topology import Topology
from rlaif_jax.training.batches import require_even_batch
from rlaif_jax.training.dpo import DpoObjective
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.reward import RewardObjective
from rlaif_jax.training.scoring import completion_token_logps
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout
from rlaif_jax.training.step import LossFn

Trained = SftConfig | DpoConfig | RewardConfig


class Assumed(NamedTuple):
    """What a run's config does not say.

    Attributes:
      architecture: A preset, or None for that of `model.path`.
      param_dtype: Of weights that are not trained.
      prompt: Tokens of every prompt; the config's limit if None.
      completion: Tokens of every completion; the config's limit if None.
      examples: Or pairs; None if that is not told.
    """

    architecture: str | None
    param_dtype: str
    prompt: int | None
    completion: int | None
    examples: int | None


def num_steps(config: TrainingConfig, examples: int) -> int:
    """The steps of one run.

    Raises:
      UsageError: If the examples do not fill a batch, as the run would refuse.
    """
    found = examples * config.epochs // config.batch_size
    if not found:
        raise UsageError(
            f"examples={examples} do not fill one batch of {config.batch_size}"
        )
    return min(found, config.max_steps or found)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What the steps of a training run compute on, on a mesh that is JAX's current one.

    Attributes:
      config: The run's.
      mesh: The devices.
      plain: The architecture, without adapters or another head.
      batch: Shapes of its rows, part by part.
      weights: Shapes of the start model.
      counts: What of a batch costs something.
      total_steps: Of the run; enough for its schedule, if that is not known.
    """

    config: Trained
    mesh: Mesh
    plain: TransformerConfig
    batch: list[PackedRows]
    weights: Params
    counts: TokenCounts
    total_steps: int

    @classmethod
    def of(cls, config: Trained, assumed: Assumed, mesh: Mesh) -> "Workload":
        """What a run computes on.

        Args:
          config: The run's.
          assumed: What it does not say.
          mesh: The devices, which is JAX's current one.

        Raises:
          UsageError: As the run would, if it cannot be laid out so.
        """
        require_even_batch(config.batch_size, config.microbatches, mesh)
        if config.model.preset is not None and _adapters(config) is not None:
            require_folder_for_adapters(None)
        num_completions = 1 if isinstance(config, SftConfig) else 2
        rows = run_rows(config, mesh, num_completions=num_completions)
        plain = architecture(config.model, assumed)
        plain = with_choices(plain, config.model, mesh, rows.needs, rows.length)
        item = _item(config, assumed, num_completions)
        items = [item] * config.batch_size
        one = _counts(plain, item, is_packed=config.rows.layout == "packed")
        steps = num_steps(config, assumed.examples) if assumed.examples else None
        return cls(
            config=config,
            mesh=mesh,
            plain=plain,
            batch=row_shapes(rows.layout, items, mesh, parts=config.microbatches),
            weights=weight_shapes(plain, mesh, _untrained_dtype(config, assumed)),
            counts=times(one, config.batch_size),
            total_steps=steps or config.optimizer.warmup_steps + 1,
        )

    @cached_property
    def model(self) -> TransformerConfig:
        """What is trained."""
        if isinstance(self.config, RewardConfig):
            return self.plain.replace(head="reward")
        adapters = self.config.lora
        return self.plain if adapters is None else adapted(self.plain, adapters)

    @cached_property
    def layout(self) -> StateLayout:
        """Of the state, as `training.run.train` makes it."""
        return StateLayout.configured(
            self.model,
            self.config.optimizer,
            self.mesh,
            total_steps=self.total_steps,
            seed=self.config.seed,
        )

    @property
    def frozen(self) -> Params:
        """What is not trained."""
        return frozen_params(self.model, self.weights) if self.model.lora else {}

    @property
    def parts(self) -> list[Any]:
        """The batch as the objective takes it."""
        if not isinstance(self.config, DpoConfig):
            return list(self.batch)
        return [pair_shapes(rows, self.has_reference) for rows in self.batch]

    @property
    def has_reference(self) -> bool:
        """Whether something is scored by the start model."""
        config = self.config
        return (
            isinstance(config, DpoConfig)
            and PreferenceLoss(config.loss).needs_reference
        )

    @property
    def train(self) -> Demand:
        """What a step of training needs."""
        flops = training_flops(self.model, self.counts)
        again = recomputed_flops(self.model, self.counts)
        return Demand("train", flops, flops + again, self.counts.tokens)

    @property
    def reference(self) -> Demand:
        """What scoring one part of a batch needs."""
        counts = TokenCounts(*(x // self.config.microbatches for x in self.counts))
        flops = forward_flops(self.plain, counts)
        return Demand("reference", flops, flops, counts.tokens)

    def steps(self) -> Iterator[Step]:
        """The step of the run, then that of its reference if it has one; traced."""
        step = self.layout.compile(self._objective(), self.config.guard)
        lowered = step.lower(self.layout.abstract, self.parts, self.frozen)
        yield Step(demand=self.train, lowered=lowered)
        if self.has_reference:
            score = jax.jit(
                partial(completion_token_logps, self.plain),
                out_shardings=NamedSharding(self.mesh, PartitionSpec()),
            )
            lowered = score.lower(self.weights, self.batch[0])
            yield Step(demand=self.reference, lowered=lowered)

    def modelled(self, topology: Topology) -> Iterator[Estimate]:
        """The figures of the same steps by the model, without tracing anything."""
        memory = MemoryModel(
            config=self.model,
            weights=self.weights,
            rows=self.batch[0],
            mesh=self.mesh.shape,
            platform=topology.platform,
        )
        model = StepModel(memory, topology)
        yield model.train(self.train, self.layout.abstract, self.parts, self.frozen)
        if self.has_reference:
            plain = StepModel(replace(memory, config=self.plain), topology)
            yield plain.reference(self.reference)

    def _objective(self) -> LossFn:
        config, weight = self.config, router_weight(self.config, self.model)
        if isinstance(config, SftConfig):
            return sft_objective(self.model, config.loss, router_weight=weight)
        if isinstance(config, RewardConfig):
            return RewardObjective(self.model, router_weight=weight)
        loss = PreferenceLoss(config.loss)
        return DpoObjective(self.model, loss, router_weight=weight)


def architecture(model: ModelConfig, assumed: Assumed) -> TransformerConfig:
    """What is planned for, without its weights."""
    if assumed.architecture is not None:
        return preset(assumed.architecture)
    if model.path is not None and not model.path.exists():
        raise UsageError(
            f"model.path={model.path} is not here yet: name its architecture, as"
            " architecture=mistral-7b-v0.1"
        )
    return plain_config(model)


def _untrained_dtype(config: Trained, assumed: Assumed) -> str:
    """That of the start model, as `load_policy` gives it."""
    if _adapters(config) is None:
        return (
            "bfloat16"
            if config.optimizer.weights == "bfloat16"
            else assumed.param_dtype
        )
    return assumed.param_dtype


def lengths(tokens: TokensConfig, assumed: Assumed) -> tuple[int, int]:
    """The tokens of every prompt and completion.

    Raises:
      UsageError: If they are more than the run takes.
    """
    limits = tokens.max_prompt_tokens, tokens.max_completion_tokens
    given = assumed.prompt, assumed.completion
    prompt, completion = (
        limit if number is None else number
        for number, limit in zip(given, limits, strict=True)
    )
    if prompt > limits[0] or completion > limits[1]:
        raise UsageError(
            f"{prompt} + {completion} tokens of prompt and completion are more than"
            f" the run's limits, {limits[0]} + {limits[1]}: raise tokens.max_*"
        )
    return prompt, completion


def _item(
    config: TrainingConfig, assumed: Assumed, num_completions: int
) -> Example | Pair:
    """An example or a pair of those lengths."""
    prompt, completion = lengths(config.tokens, assumed)
    sides = [range(completion)] * num_completions
    return (Example if num_completions == 1 else Pair)(range(prompt), *sides)


def _counts(
    model: TransformerConfig, item: Example | Pair, *, is_packed: bool
) -> TokenCounts:
    """What of an item costs something; padded rows have the prompt twice."""
    prompt, *sides = map(len, item)
    window = model.sliding_window
    if is_packed:
        return TokenCounts.of(prompt, tuple(sides), window=window)
    alone = TokenCounts.of(prompt, (sides[0],), window=window)
    return times(alone, len(sides))


def times(counts: TokenCounts, number: int) -> TokenCounts:
    """Those of so many."""
    return TokenCounts(*(count * number for count in counts))


def _adapters(config: Trained) -> LoraConfig | None:
    """What is trained in place of the weights, if anything."""
    return None if isinstance(config, RewardConfig) else config.lora
