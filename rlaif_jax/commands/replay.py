"""Repeats the step that a training run failed at, and says what in it is wrong."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from rlaif_jax.config_file import validate
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.config_training import (
    DpoConfig,
    RewardConfig,
    SftConfig,
    TrainingConfig,
)
from rlaif_jax.data.packing import PackedRows
from rlaif_jax.data.tokenizer import Tokenizer, load_tokenizer
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json
from rlaif_jax.inspection.runs import load_model
from rlaif_jax.inspection.scorer import Model
from rlaif_jax.models import TransformerConfig
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.dpo import DpoObjective, PairBatch
from rlaif_jax.training.failure import NamedArrays, read_failed_step
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.reward import RewardObjective
from rlaif_jax.training.scoring import completion_logps, completion_rewards
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.step import Batch, LossFn, mean_gradients
from rlaif_jax.typing import Json

_KINDS = {kind.__name__: kind for kind in (SftConfig, DpoConfig, RewardConfig)}
_SHOWN = 3  # items, with the first characters of their texts
_CHARACTERS = 120


def replay(bundle: Path) -> Json:
    """What the failed step computes, now, in float32 as far as the run did.

    Args:
      bundle: `failure/` of a training run's folder.

    Returns:
      The metrics as they were and as they are; the parameters with a gradient that is
      not finite; and the items with the least likely completions, or the least
      rewarded ones.

    Raises:
      UsageError: If there is no failed step.
      CorruptDataError: If it is damaged.
    """
    step = read_failed_step(bundle)
    config = _config(bundle.parent)
    mesh = build_mesh(MeshConfig())
    with jax.set_mesh(mesh):
        model = load_model(bundle, mesh, compute_dtype=config.model.compute_dtype)
        batches = [_batch(config, arrays) for arrays in step.microbatches]
        gradients = jax.jit(partial(mean_gradients, _objective(config, model.config)))(
            model.params, batches
        )
        worst = _worst_items(model, batches, load_tokenizer(bundle / "tokenizer"))
    named = jax.tree_util.tree_leaves_with_path(gradients.by_param)
    norms = {
        jax.tree_util.keystr(path, simple=True, separator="."): float(
            jnp.linalg.norm(leaf)
        )
        for path, leaf in named
    }
    return {
        "step": step.number,
        "logged": {name: step.metrics[name] for name in ("loss", "grad_norm")},
        "loss": _finite(float(gradients.loss)),
        "grad_norm": _finite(float(np.linalg.norm(list(norms.values())))),
        "gradients_not_finite": [k for k, v in norms.items() if not np.isfinite(v)],
        "items": worst,
    }


def show_replay(result: Json) -> None:
    """Prints what was found."""
    logged = result["logged"]
    print(f"step {result['step']}")
    for name in ("loss", "grad_norm"):
        print(f"  {name}: {result[name]} (in the run: {logged[name]})")
    bad = result["gradients_not_finite"]
    print(f"  gradients that are not finite: {', '.join(bad) or 'none'}")
    for item in result["items"]:
        print(f"  {item['score']}: {item['text']!r}")


def _config(run: Path) -> TrainingConfig:
    """The config of a training run."""
    kind = read_json(run / "run.json", "run").get("kind")
    if kind not in _KINDS:
        raise UsageError(f"{run} is not the folder of sft, dpo or reward")
    return validate(_KINDS[kind], read_json(run / "config.json", "config of a run"))


def _objective(config: TrainingConfig, architecture: TransformerConfig) -> LossFn:
    """The loss of the run."""
    weight = config.router_weight
    match config:
        case SftConfig():
            return sft_objective(architecture, config.loss, router_weight=weight)
        case DpoConfig():
            return DpoObjective(architecture, PreferenceLoss(config.loss), weight)
        case _:
            return RewardObjective(architecture, weight)


def _batch(config: TrainingConfig, arrays: NamedArrays) -> Batch:
    """The tree that the run's loss takes."""
    is_dpo = isinstance(config, DpoConfig)
    prefix = "rows." if is_dpo else ""
    fields: Any = {name: arrays.get(prefix + name) for name in PackedRows._fields}
    rows = PackedRows(**fields)
    if not is_dpo:
        return rows
    reference = arrays.get("reference")
    return PairBatch(rows, None if reference is None else jnp.asarray(reference))


def _worst_items(
    model: Model, batches: list[Batch], tokenizer: Tokenizer
) -> list[Json]:
    """Those whose scores are not finite, or the lowest."""
    is_reward = model.config.head != "tokens"
    score = jax.jit(
        partial(completion_rewards if is_reward else completion_logps, model.config)
    )
    found = []
    for batch in batches:
        rows = batch.rows if isinstance(batch, PairBatch) else batch
        scores: Float[np.ndarray, "N A"] = np.asarray(score(model.params, rows))
        least = np.where(np.isfinite(scores), scores, -np.inf).min(axis=1)
        found += [
            (float(least[item]), _token_ids(rows, item)) for item in range(len(least))
        ]
    found.sort(key=lambda one: one[0])
    return [
        {"score": _finite(least), "text": tokenizer.decode(ids.tolist())[:_CHARACTERS]}
        for least, ids in found[:_SHOWN]
    ]


def _token_ids(rows: PackedRows, item: int) -> Int[np.ndarray, " T"]:
    """An item as it stands in its row, prompt first."""
    num_completions = rows.lengths.shape[1]
    row, slot = np.argwhere(rows.sequences == item * num_completions)[0]
    segments = rows.segment_ids[row]
    return rows.token_ids[row][segments == segments[rows.places[row, slot]]]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
