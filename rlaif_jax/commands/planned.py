"""The steps of the verbs that compute, with shapes in place of data and weights."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlaif_jax.checkpoint import store
from rlaif_jax.commands.policy import with_choices
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
from rlaif_jax.training.dpo import DpoObjective
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.reward import RewardObjective
from rlaif_jax.training.scoring import completion_token_logps
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.state import StateLayout
from rlaif_jax.training.step import LossFn


class Lengths(NamedTuple):
    """Tokens of every item; the config's limits where None."""

    prompt: int | None
    completion: int | None


def training_steps(
    config: SftConfig | DpoConfig | RewardConfig,
    architecture: str | None,
    lengths: Lengths,
    mesh: Mesh,
) -> Iterator[Step]:
    """The step of a run, then that of its reference if it has one.

    Args:
      config: The run's.
      architecture: A preset, or None for that of `model.path`.
      lengths: Of what it is trained on.
      mesh: The devices, which is JAX's current one.

    Raises:
      UsageError: As the run would, if it cannot be laid out so.
    """
    num_completions = 1 if isinstance(config, SftConfig) else 2
    rows = run_rows(config, mesh, num_completions=num_completions)
    plain = _architecture(config.model, architecture)
    plain = with_choices(plain, config.model, mesh, rows.needs, rows.length)
    model = _trained(plain, config)
    item = _item(config, lengths, num_completions)
    batch = row_shapes(
        rows.layout, [item] * config.batch_size, mesh, parts=config.microbatches
    )
    one = _counts(model, item, is_packed=config.rows.layout == "packed")
    counts = _times(one, config.batch_size)
    layout = StateLayout.configured(
        model, config.optimizer, mesh, total_steps=config.max_steps or 1, seed=0
    )
    loss = PreferenceLoss(config.loss) if isinstance(config, DpoConfig) else None
    has_reference = loss is not None and loss.needs_reference
    weights = weight_shapes(plain, mesh, _reference_dtype(config))
    step = layout.compile(_objective(config, model), config.guard)
    parts = batch if loss is None else [pair_shapes(b, has_reference) for b in batch]
    flops = training_flops(model, counts)
    yield Step(
        name="train",
        lowered=step.lower(
            layout.abstract, parts, frozen_params(model, weights) if model.lora else {}
        ),
        flops=flops,
        executed_flops=flops + recomputed_flops(model, counts),
        tokens=counts.tokens,
    )
    if has_reference:
        scored = _times(one, config.batch_size // config.microbatches)
        yield _reference_step(plain, weights, batch[0], scored, mesh)


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
    config: SampleConfig, architecture: str | None, lengths: Lengths, mesh: Mesh
) -> Iterator[Step]:
    """Completing a batch of prompts, each by as many tokens as it may have.

    Args:
      config: The run's.
      architecture: As for `training_steps`.
      lengths: Of prompts and completions.
      mesh: The devices, which is JAX's current one.

    Raises:
      UsageError: As the run would, if it cannot be laid out so.
    """
    prompt, completion = _limited(config.tokens, lengths)
    plain = _architecture(config.model, architecture)
    model = with_choices(plain, config.model, mesh, DECODED, prompt + completion)
    size = num_rows(config.batch_size, mesh)
    selection = Selection(
        temperature=config.temperature, top_k=config.top_k, top_p=config.top_p
    )
    stopping = Stopping(end_ids=(model.eos_token_id,), max_new_tokens=completion)
    decode = jitted_decode(model, mesh, selection, stopping)
    one = TokenCounts.of(prompt, (completion,), window=model.sliding_window)
    flops = forward_flops(model, _times(one, size))
    yield Step(
        name="decode",
        lowered=decode.lower(
            weight_shapes(model, mesh, "float32"),
            prompt_shapes(size, prompt_width(prompt), mesh),
            jax.ShapeDtypeStruct((), np.int32),
        ),
        flops=flops,
        executed_flops=flops,
        tokens=size * completion,
    )


def _architecture(model: ModelConfig, preset_name: str | None) -> TransformerConfig:
    """What is planned for, without its weights."""
    if preset_name is not None:
        return preset(preset_name)
    if model.preset is not None:
        return preset(model.preset)
    assert model.path is not None  # the config's validator saw to it
    if not model.path.exists():
        raise UsageError(
            f"model.path={model.path} is not here yet: name its architecture, as"
            " architecture=mistral-7b-v0.1"
        )
    return store.open_folder(model.path).config.replace(lora=None)


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


def _reference_dtype(config: SftConfig | DpoConfig | RewardConfig) -> str:
    """That of the start model, as `load_policy` gives it."""
    is_adapted = not isinstance(config, RewardConfig) and config.lora is not None
    return "float32" if is_adapted else config.optimizer.weights


def _limited(tokens: TokensConfig, lengths: Lengths) -> tuple[int, int]:
    """The tokens of every prompt and completion.

    Raises:
      UsageError: If they are more than the run takes.
    """
    limits = tokens.max_prompt_tokens, tokens.max_completion_tokens
    found = tuple(
        limit if given is None else given
        for given, limit in zip(lengths, limits, strict=True)
    )
    if any(given > limit for given, limit in zip(found, limits, strict=True)):
        raise UsageError(
            f"{found[0]} + {found[1]} tokens of prompt and completion are more than"
            f" the run's limits, {limits[0]} + {limits[1]}: raise tokens.max_*"
        )
    return found[0], found[1]


def _item(
    config: TrainingConfig, lengths: Lengths, num_completions: int
) -> Example | Pair:
    """An example or a pair of those lengths."""
    prompt, completion = _limited(config.tokens, lengths)
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
