"""Checkpoints of a model folder: whole or absent, and verified before they are used.

Orbax is used here only. Each step is one Orbax checkpoint in `checkpoints/<step>`
with two files more: `position.json`, where the data stood, and `integrity.json`,
which is written last. A step without it is unfinished, and counts for nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint import v1 as ocp

from rlaif_jax import log
from rlaif_jax.checkpoint import integrity
from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.checkpoint.folder import ModelFolder, create_folder, open_folder
from rlaif_jax.checkpoint.selection import read_selection
from rlaif_jax.checkpoint.steps import (
    finished_steps,
    intact_step,
    prune,
    remove_unfinished,
)
from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.sharding.placement import require_divisible
from rlaif_jax.typing import Json

__all__ = [
    "ModelFolder",
    "Restored",
    "create_folder",
    "find_step",
    "latest_step",
    "open_folder",
    "read_params",
    "restore_params",
    "restore_state",
    "save",
]

_log = log.logger(__name__)

_POSITION = "position.json"


class Restored(NamedTuple):
    """A training state, where its data stood, and the step it was saved at."""

    state: dict[str, Any]
    position: Json
    step: int


def latest_step(folder: ModelFolder) -> int | None:
    """The newest finished step, or None."""
    return max(finished_steps(folder.checkpoints), default=None)


def save(
    folder: ModelFolder,
    step: int,
    state: Mapping[str, Any],
    position: Json,
    *,
    keep: int,
    best: int | None = None,
) -> None:
    """Saves one step and waits until it is on disk; all processes call it.

    Args:
      folder: The model.
      step: Updates done. A step that is there with the same position is left as it
        is: a run that resumes and stops at once saves what it restored.
      state: Trees of arrays by name: `params` at least, then `optimizer` and so on.
      position: Where the data stood, as JSON.
      keep: How many steps stay, the newest ones.
      best: A step that stays besides.

    Raises:
      UsageError: If the step is there already with another position.
      InternalError: If it cannot be written; older steps are untouched.
    """
    path = folder.checkpoints / str(step)
    what = f"save step {step} in {folder.path}"
    if on_first_process(lambda: _prepare(folder, path, position), what=what):
        return
    failure = None
    try:
        ocp.save_checkpointables(str(path.absolute()), dict(state))
    except (OSError, ValueError, RuntimeError) as error:
        failure = error
    # all come here, so that a process that failed does not leave the others waiting
    on_first_process(lambda: _finish(path, position, failure), what=what)
    if failure is not None:
        raise InternalError(f"cannot {what}: {failure}") from failure
    on_first_process(lambda: _prune(folder, keep, best), what=what)


def find_step(folder: ModelFolder, step: int | None = None) -> int:
    """The step to use, verified by process 0 and the same on every process.

    Args:
      folder: The model.
      step: Which one; by default the one that the folder's run has selected, or the
        newest that is intact if it did not select.

    Raises:
      UsageError: If there is no such step.
      CorruptDataError: If it, or every step, is damaged.
    """

    def wanted() -> int:
        selection = None if step is not None else read_selection(folder.path)
        if selection is None:
            return intact_step(folder.checkpoints, step)
        _log.info("%s: %s", folder.path, selection.told)
        return intact_step(folder.checkpoints, selection.best.step)

    return _agreed(folder, wanted)


def _agreed(folder: ModelFolder, wanted: Callable[[], int]) -> int:
    """The step that process 0 finds, which every process must see."""
    found = on_first_process(wanted, what=f"read {folder.checkpoints}")
    if not integrity.is_sealed(folder.checkpoints / str(found)):
        raise UsageError(f"{folder.path} is not shared by all hosts: process 0 sees it")
    return found


def restore_params(
    folder: ModelFolder, step: int | None = None, shardings: Any = None
) -> Any:
    """The parameters alone; nothing else of the checkpoint is read into memory.

    Args:
      folder: The model.
      step: As for `find_step`.
      shardings: A tree like the parameters', of `NamedSharding`s; one local device
        by default.

    Returns:
      The parameters, as they were saved.

    Raises:
      UsageError: If there is no such step, or the shardings do not fit it.
      CorruptDataError: If it, or every step, is damaged.
    """
    return read_params(folder, find_step(folder, step), shardings)


def read_params(folder: ModelFolder, step: int, shardings: Any = None) -> Any:
    """What `restore_params` gives, of a step from `find_step`, which has verified it.

    Args:
      folder: The model.
      step: Which one.
      shardings: As for `restore_params`.

    Raises:
      UsageError: If the shardings do not fit it.
    """
    path = folder.checkpoints / str(step)
    saved = _saved_shapes(path, ["params"])["params"]
    if shardings is None:
        shardings = jax.tree.map(lambda leaf: _local_sharding(), saved)
    _require_same_names(saved, shardings, path / "params")
    wanted = jax.tree.map(_shape_on, saved, shardings)
    return _load(path, {"params": wanted})["params"]


def restore_state(
    folder: ModelFolder, abstract_state: Mapping[str, Any], step: int | None = None
) -> Restored:
    """A training state, on the shardings that are asked for, whatever it was saved on.

    Args:
      folder: The model.
      abstract_state: Trees of `jax.ShapeDtypeStruct`s with shardings, by name, like
        the state's.
      step: Which one; the newest that is intact by default.

    Returns:
      The state, its position and its step.

    Raises:
      UsageError: If there is no such step, or it holds another state.
      CorruptDataError: If it, or every step, is damaged.
    """
    found = _agreed(folder, lambda: intact_step(folder.checkpoints, step))
    path = folder.checkpoints / str(found)
    saved = _saved_shapes(path, list(abstract_state))
    for name, tree in abstract_state.items():
        _require_same_shapes(saved[name], tree, path / name)
    position = read_json(path / _POSITION, "data position")
    return Restored(_load(path, dict(abstract_state)), position, found)


# --- writing: process 0 alone --------------------------------------------------


def _prepare(folder: ModelFolder, path: Path, position: Json) -> int:
    """Clears leftovers of killed saves; 1 if the step is there already."""
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder.checkpoints)
    if not path.exists():
        return 0
    if read_json(path / _POSITION, "data position") != position:
        raise UsageError(
            f"{path} was saved by another run: choose another folder, or delete it"
        )
    _log.info(f"step {path.name} is saved already")
    return 1


def _finish(path: Path, position: Json, failure: Exception | None) -> int:
    """Completes and seals what Orbax wrote, or removes it."""
    try:
        if failure is not None:
            raise failure
        write_json(path / _POSITION, position)
        integrity.seal(path)
    except (OSError, ValueError, RuntimeError) as error:
        remove_unfinished(path.parent)
        reason = " ".join(str(error).split())
        raise InternalError(
            f"cannot save {path}, older steps are untouched: {reason}"
        ) from error
    return 0


def _prune(folder: ModelFolder, keep: int, best: int | None) -> int:
    prune(folder.checkpoints, keep, best=best)
    return 0


# --- reading -------------------------------------------------------------------


def _saved_shapes(path: Path, names: list[str]) -> dict[str, Any]:
    """Trees with the shape and dtype of what a step holds, by name."""
    saved = ocp.checkpointables_metadata(str(path.absolute())).metadata
    for name in names:
        if name not in saved:
            raise UsageError(f"{path} holds no {name}, only {', '.join(saved)}")
    return {
        name: jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), saved[name]
        )
        for name in names
    }


def _require_same_names(saved: Any, wanted: Any, where: Path) -> None:
    """Refuses trees with different leaves, whatever their containers are."""
    difference = sorted(_by_name(saved).keys() ^ _by_name(wanted).keys())
    if difference:
        kind = "has no" if difference[0] in _by_name(wanted) else "has an unexpected"
        raise UsageError(f"{where} {kind} {difference[0]}: it is another model's")


def _require_same_shapes(saved: Any, wanted: Any, where: Path) -> None:
    """Refuses what Orbax would cast or reject in words that nobody understands."""
    _require_same_names(saved, wanted, where)
    expected = _by_name(wanted)
    for name, leaf in _by_name(saved).items():
        there, here = _shown(leaf), _shown(expected[name])
        if there != here:
            raise UsageError(f"{where} has {name} as {there}, and the run wants {here}")


def _by_name(tree: Any) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _shown(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _shape_on(leaf: jax.ShapeDtypeStruct, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _local_sharding() -> SingleDeviceSharding:
    return SingleDeviceSharding(jax.local_devices()[0])


def _load(path: Path, abstract: dict[str, Any]) -> dict[str, Any]:
    """Reads trees onto their shardings, into memory that JAX may donate."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding or _local_sharding(), abstract)
    abstract = jax.tree.map(_shape_on, abstract, shardings)
    require_divisible(abstract, shardings)
    try:
        return _owned(ocp.load_checkpointables(str(path.absolute()), abstract))
    except OSError as error:
        raise InternalError(f"cannot read {path}: {error}") from error


def _owned(tree: Any) -> Any:
    """A copy made by JAX, leaf by leaf.

    Arrays restored from disk are not donated, silently: the first step after a
    restore would hold the state twice.
    """
    leaves, structure = jax.tree.flatten(tree)
    del tree
    for i in range(len(leaves)):
        copy = jax.jit(jnp.copy, out_shardings=leaves[i].sharding)
        leaves[i] = copy(leaves[i])
    return jax.tree.unflatten(structure, leaves)
