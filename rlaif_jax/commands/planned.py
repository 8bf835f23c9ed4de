"""The steps of the verbs that compute, with shapes in place of data and weights."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlaif_jax.commands.policy import plain_config, with_choices
from rlaif_jax.commands.rows import DECODED, run_rows
from rlaif_jax.commands.training import adapted, router_weight
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_parts import ModelConfig, TokensConfig
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
from rlaif_jax.planning.estimate import Step
from rlaif_jax.planning.shapes import (
    pair_shapes,
    prompt_shapes,
    row_shapes,
    weight_shapes,
)
from rlaif_jax.sampling.decode import Stopping
from rlaif_jax.sampling.engine import jitted_decode, num_rows, prompt_width
from rlaif_jax.sampling.select import Selection
from rlaif_jax.training.batches import require_even_batch
from rlaif_jax.training.dpo import DpoObjective
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.reward import RewardObjective
from rlaif_jax.training.scoring import completion_token_logps
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout
from rlaif_jax.training.step import LossFn


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


def training_steps(
    config: SftConfig | DpoConfig | RewardConfig, assumed: Assumed, mesh: Mesh
) -> Iterator[Step]:
    """The step of a run, then that of its reference if it has one.

    Args:
      config: The run's.
      assumed: What it does not say.
      mesh: The devices, which is JAX's current one.

    Raises:
      UsageError: As the run would, if it cannot be laid out so.
    """
    require_even_batch(config.batch_size, config.microbatches, mesh)
    num_completions = 1 if isinstance(config, SftConfig) else 2
    rows = run_rows(config, mesh, num_completions=num_completions)
    plain = _architecture(config.model, assumed)
    plain = with_choices(plain, config.model, mesh, rows.needs, rows.length)
    item = _item(config, assumed, num_completions)
    batch = row_shapes(
        rows.layout, [item] * config.batch_size, mesh, parts=config.microbatches
    )
    weights = weight_shapes(plain, mesh, _untrained_dtype(config, assumed))
    one = _counts(plain, item, is_packed=config.rows.layout == "packed")
    yield _training_step(
        config, plain, batch, weights, _times(one, config.batch_size), assumed, mesh
    )
    if _has_reference(config):
        scored = _times(one, config.batch_size // config.microbatches)
        yield _reference_step(plain, weights, batch[0], scored, mesh)


def _training_step(  # noqa: PLR0913  what the steps of a run share
    config: SftConfig | DpoConfig | RewardConfig,
    plain: TransformerConfig,
    batch: list[PackedRows],
    weights: Params,
    counts: TokenCounts,
    assumed: Assumed,
    mesh: Mesh,
) -> Step:
    """The step that `training.run.train` takes."""
    model = _trained(plain, config)
    warmup = config.optimizer.warmup_steps
    total = num_steps(config, assumed.examples) if assumed.examples else warmup + 1
    layout = StateLayout.configured(
        model, config.optimizer, mesh, total_steps=total, seed=config.seed
    )
    has_reference = _has_reference(config)
    parts = (
        [pair_shapes(rows, has_reference) for rows in batch]
        if isinstance(config, DpoConfig)
        else batch
    )
    step = layout.compile(_objective(config, model), config.guard)
    frozen = frozen_params(model, weights) if model.lora else {}
    flops = training_flops(model, counts)
    return Step(
        name="train",
        lowered=step.lower(layout.abstract, parts, frozen),
        flops=flops,
        executed_flops=flops + recomputed_flops(model, counts),
        tokens=counts.tokens,
    )


def _reference_step(
    plain: TransformerConfig,
    weights: Params,
    rows: PackedRows,
    counts: TokenCounts,
    mesh: Mesh,
) -> Step:
    """Scoring one part of a batch, as `train_dpo` does before the first step."""
    score = jax.jit(
        partial(completion_token_logps, plain),
        out_shardings=NamedSharding(mesh, PartitionSpec()),
    )
    flops = forward_flops(plain, counts)
    return Step(
        name="reference",
        lowered=score.lower(weights, rows),
        flops=flops,
        executed_flops=flops,
        tokens=counts.tokens,
    )


def sampling_steps(
    config: SampleConfig, assumed: Assumed, mesh: Mesh
) -> Iterator[Step]:
    """Completing a batch of prompts, each by as many tokens as it may have.

    Args:
      config: The run's.
      assumed: What it does not say.
      mesh: The devices, which is JAX's current one.

    Raises:
      UsageError: As the run would, if it cannot be laid out so.
    """
    limits = config.tokens.max_prompt_tokens, config.tokens.max_completion_tokens
    prompt, completion = _lengths(config.tokens, assumed)
    plain = _architecture(config.model, assumed)
    model = with_choices(plain, config.model, mesh, DECODED, sum(limits))
    size = num_rows(config.batch_size, mesh)
    selection = Selection(
        temperature=config.temperature, top_k=config.top_k, top_p=config.top_p
    )
    # some row goes on to the limit
    stopping = Stopping(end_ids=(model.eos_token_id,), max_new_tokens=limits[1])
    decode = jitted_decode(model, mesh, selection, stopping)
    one = TokenCounts.of(prompt, (completion,), window=model.sliding_window)
    flops = forward_flops(model, _times(one, size))
    yield Step(
        name="decode",
        lowered=decode.lower(
            weight_shapes(model, mesh, assumed.param_dtype),
            prompt_shapes(size, prompt_width(limits[0]), mesh),
            jax.ShapeDtypeStruct((), np.int32),
        ),
        flops=flops,
        executed_flops=flops,
        tokens=size * completion,
    )


def _architecture(model: ModelConfig, assumed: Assumed) -> TransformerConfig:
    """What is planned for, without its weights."""
    if assumed.architecture is not None:
        return preset(assumed.architecture)
    if model.path is not None and not model.path.exists():
        raise UsageError(
            f"model.path={model.path} is not here yet: name its architecture, as"
            " architecture=mistral-7b-v0.1"
        )
    return plain_config(model)


def _trained(
    plain: TransformerConfig, config: SftConfig | DpoConfig | RewardConfig
) -> TransformerConfig:
    if isinstance(config, RewardConfig):
        return plain.replace(head="reward")
    return plain if config.lora is None else adapted(plain, config.lora)


def _objective(
    config: SftConfig | DpoConfig | RewardConfig, model: TransformerConfig
) -> LossFn:
    weight = router_weight(config, model)
    if isinstance(config, SftConfig):
        return sft_objective(model, config.loss, router_weight=weight)
    if isinstance(config, RewardConfig):
        return RewardObjective(model, router_weight=weight)
    return DpoObjective(model, PreferenceLoss(config.loss), router_weight=weight)


def _has_reference(config: SftConfig | DpoConfig | RewardConfig) -> bool:
    """Whether something is scored by the start model."""
    return isinstance(config, DpoConfig) and PreferenceLoss(config.loss).needs_reference


def _untrained_dtype(
    config: SftConfig | DpoConfig | RewardConfig, assumed: Assumed
) -> str:
    """That of the start model, as `load_policy` gives it."""
    if isinstance(config, RewardConfig) or config.lora is None:
        return (
            "bfloat16"
            if config.optimizer.weights == "bfloat16"
            else assumed.param_dtype
        )
    return assumed.param_dtype


def _lengths(tokens: TokensConfig, assumed: Assumed) -> tuple[int, int]:
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
    prompt, completion = _lengths(config.tokens, assumed)
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
    return _times(alone, len(sides))


def _times(counts: TokenCounts, number: int) -> TokenCounts:
    return TokenCounts(*(count * number for count in counts))
