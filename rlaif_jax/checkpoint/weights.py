"""The weights of a model folder, whatever it keeps them as.

A folder whose run trained adapters holds these alone, and `origin.json`, which names
the model that they were trained on. Who opens it gets plain weights: the adapters are
added to that model's.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, SingleDeviceSharding

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.checkpoint.folder import ModelFolder, open_folder
from rlaif_jax.checkpoint.integrity import NAME as SEAL
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import file_sha256, read_json, write_json
from rlaif_jax.models import (
    Params,
    TransformerConfig,
    abstract_params,
    joined_params,
    logical_axes,
    merged_params,
    trained_params,
)
from rlaif_jax.sharding.placement import param_shardings, require_divisible

_ORIGIN = "origin.json"


@dataclasses.dataclass(frozen=True)
class Origin:
    """A checkpoint that adapters belong to.

    Attributes:
      path: Its model folder.
      step: Which one.
      seal: SHA-256 of its `integrity.json`, and so of every byte of it.
    """

    path: Path
    step: int
    seal: str

    @classmethod
    def at(cls, folder: ModelFolder, step: int) -> "Origin":
        """The checkpoint at a step that is there."""
        seal = file_sha256(folder.checkpoints / str(step) / SEAL)
        return cls(folder.path, step, seal)


class Weights(NamedTuple):
    """A model without adapters, and where it was read from."""

    config: TransformerConfig
    params: Params
    folder: ModelFolder
    step: int


def weight_shardings(config: TransformerConfig, mesh: Mesh | None) -> Any:
    """Where each parameter goes.

    Args:
      config: The architecture.
      mesh: The devices; JAX's first device of this process if None.

    Raises:
      UsageError: If a mesh axis does not divide a dimension that it splits.
    """
    shapes = abstract_params(config)
    if mesh is None:
        device = jax.local_devices()[0]
        return jax.tree.map(lambda _: SingleDeviceSharding(device), shapes)
    shardings = param_shardings(logical_axes(config), mesh)
    require_divisible(shapes, shardings)
    return shardings


def load_weights(
    path: Path, *, step: int | None = None, mesh: Mesh | None = None
) -> Weights:
    """The weights of a folder's checkpoint, adapters merged into those they belong to.

    Args:
      path: The model folder.
      step: Which one; the one that its run has selected by default, or the newest.
      mesh: Where they go; JAX's first device of this process if None.

    Raises:
      UsageError: If there is no such folder or step, or the model that adapters belong
        to is not where it was, or the mesh does not divide it.
      CorruptDataError: If it is damaged, or that model is another now.
    """
    folder = open_folder(path)
    config = folder.config
    found = store.find_step(folder, step)
    shardings = weight_shardings(config, mesh)
    params = store.read_params(folder, found, trained_params(config, shardings))
    plain = config.replace(lora=None)
    if config.lora:
        base = _load_origin(folder, mesh)
        merge = jax.jit(
            lambda base, own: merged_params(config, joined_params(base, own)),
            donate_argnums=0,
            out_shardings=weight_shardings(plain, mesh),
        )
        params = merge(base.params, params)
    return Weights(plain, params, folder, found)


def keep_origin(folder: ModelFolder, origin: Origin) -> None:
    """Writes down which model a folder's adapters belong to.

    Raises:
      UsageError: If they belong to another one already.
    """
    document = {
        # relative: a tree of runs can be moved as a whole
        "path": os.path.relpath(origin.path.resolve(), folder.path.resolve()),
        "step": origin.step,
        "seal": origin.seal,
    }

    def write() -> int:
        path = folder.path / _ORIGIN
        if not path.is_file():
            write_json(path, document)
        elif read_json(path, "origin of adapters")["seal"] != origin.seal:
            raise UsageError(
                f"{folder.path} holds adapters of another model than {origin.path} at"
                f" step {origin.step}: choose another folder"
            )
        return 0

    on_first_process(write, what=f"create {folder.path}")


def read_origin(folder: ModelFolder) -> Origin:
    """The model that a folder's adapters belong to.

    Raises:
      UsageError: If it is not where it was, or has been trained on.
      CorruptDataError: If the folder does not say.
    """
    document = read_json(folder.path / _ORIGIN, "origin of adapters")
    try:
        path, step = (folder.path / document["path"]).resolve(), document["step"]
        origin = Origin(path, step, document["seal"])
    except (KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{folder.path / _ORIGIN} names no model: {error!r}"
        ) from error
    if not (path / "checkpoints" / str(step) / SEAL).is_file():
        raise UsageError(
            f"{folder.path} holds adapters of {path} at step {step}, which is not"
            " there: bring it back, or move both together"
        )
    return origin


def _load_origin(folder: ModelFolder, mesh: Mesh | None) -> Weights:
    """The weights that a folder's adapters belong to."""
    origin = read_origin(folder)
    base = load_weights(origin.path, step=origin.step, mesh=mesh)
    if Origin.at(base.folder, base.step) != origin:
        raise CorruptDataError(
            f"{origin.path} at step {origin.step} is not what the adapters in"
            f" {folder.path} were trained on: it has been written again since"
        )
    return base
