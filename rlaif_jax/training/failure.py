"""What is left of a run whose steps fail: enough to repeat the last of them."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import jax
import numpy as np
from jaxtyping import Shaped

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.checkpoint.weights import keep_origin
from rlaif_jax.errors import CorruptDataError, DivergedError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.training.loop import Step
from rlaif_jax.training.plan import StartModel
from rlaif_jax.training.state import StateLayout
from rlaif_jax.training.step import TrainState

_FOLDER, _STEP, _ARRAYS = "failure", "failure.json", "batch-{}.npz"

NamedArrays = dict[str, Shaped[np.ndarray, "..."]]


class FailedStep(NamedTuple):
    """A step as it was kept.

    Attributes:
      number: Of the step.
      metrics: That it had; those that are not finite are None.
      microbatches: The arrays of each, by their names in the batch's tree.
    """

    number: int
    metrics: dict[str, float | None]
    microbatches: list[NamedArrays]


def failed(
    start: StartModel, layout: StateLayout, state: TrainState, step: Step, out: Path
) -> DivergedError:
    """Keeps the failed step in `failure/` of the run's folder; gives what to raise.

    That is a model folder of its own, with the state before the step, and beside it the
    arrays of its batch. The checkpoints of the run are left as they are.

    Args:
      start: Of the run.
      layout: Of its state.
      state: Which stands still since the first of the skipped steps.
      step: The last of them, its metrics fetched.
      out: The run's folder.
    """
    bundle = out / _FOLDER
    # on a pod no process holds all of a batch
    whole = jax.jit(lambda tree: tree, out_shardings=layout.shardings.step)
    parts = [_named_arrays(whole(part)) for part in step.microbatches]
    metrics = {name: float(value) for name, value in step.metrics.items()}
    on_first_process(
        lambda: _write(bundle, step.number, metrics, parts),
        what=f"keep the failed step in {bundle}",
    )
    folder = store.create_folder(bundle, start.config, start.tokenizer_dir)
    if start.origin is not None and start.config.lora:
        keep_origin(folder, start.origin)
    store.save(folder, step.number, layout.saved(state), {}, keep=1)
    return DivergedError(
        f"loss is {metrics['loss']:g} and grad_norm {metrics['grad_norm']:g} at step"
        f" {step.number}, and {metrics['skipped_in_a_row']:.0f} steps in a row were"
        " skipped: lower optimizer.learning_rate, or see what `rlaif-jax doctor"
        f" bundle={bundle}` makes of it; the checkpoints before are untouched"
    )


def read_failed_step(bundle: Path) -> FailedStep:
    """The failed step in `failure/` of a run's folder; its weights are a model's.

    Raises:
      UsageError: If there is none.
      CorruptDataError: If it does not parse.
    """
    told = read_json(bundle / _STEP, "failed step")
    try:
        paths = [bundle / _ARRAYS.format(part) for part in range(told["microbatches"])]
        return FailedStep(told["step"], told["metrics"], [_load(p) for p in paths])
    except (KeyError, TypeError, ValueError, OSError, BadZipFile) as error:
        raise CorruptDataError(f"{bundle} holds no failed step: {error!r}") from error


def _write(
    bundle: Path, number: int, metrics: dict[str, float], parts: Sequence[NamedArrays]
) -> int:
    """Writes all but the state, in place of what an earlier failure left."""
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir(parents=True)
    for part, arrays in enumerate(parts):
        named: Any = arrays  # a name may be any but that of an option of savez
        np.savez(bundle / _ARRAYS.format(part), **named)
    known = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    told = {"step": number, "metrics": known, "microbatches": len(parts)}
    write_json(bundle / _STEP, told)
    return 0


def _load(path: Path) -> NamedArrays:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _named_arrays(tree: Any) -> NamedArrays:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
