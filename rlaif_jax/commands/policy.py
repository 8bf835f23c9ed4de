"""Loads the model that a config names onto the devices of this run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
from jax.sharding import Mesh

from rlaif_jax.checkpoint.weights import Origin, load_weights, weight_shardings
from rlaif_jax.config import MeshConfig, ModelConfig
from rlaif_jax.data.tokenizer import Tokenizer, load_tokenizer
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.models.registry import preset
from rlaif_jax.models.transformer import init_params
from rlaif_jax.runtime import distributed, platform
from rlaif_jax.sharding.mesh import build_mesh


@dataclass(frozen=True)
class Policy:
    """A model on the devices, and its tokenizer.

    Attributes:
      name: The folder's or the preset's name.
      origin: The checkpoint that it was read from; None for random weights.
    """

    name: str
    config: TransformerConfig
    params: Params
    tokenizer: Tokenizer
    tokenizer_dir: Path
    origin: Origin | None


@contextmanager
def open_devices(mesh: MeshConfig, *, debug: bool = False) -> Iterator[Mesh]:
    """Joins the run's other processes, if any, and lays out the devices.

    Inside, the mesh is JAX's current one, so that activations are split by rows where
    models ask for it; without it each device would hold those of the whole batch.

    Raises:
      UsageError: If the mesh does not fit the devices.
    """
    platform.configure(debug=debug)
    if not jax.distributed.is_initialized():
        distributed.start()
    devices = build_mesh(mesh)
    with jax.set_mesh(devices):
        yield devices


def load_policy(model: ModelConfig, mesh: Mesh) -> Policy:
    """The model of a folder, or random weights of a preset.

    Raises:
      UsageError: If there is no such folder, step or preset, or the mesh does not
        divide its dimensions.
      CorruptDataError: If every checkpoint is damaged.
    """
    if model.path is not None:
        return _from_folder(model, model.path, mesh)
    assert model.preset is not None  # the config's validator saw to these
    assert model.tokenizer is not None
    tokenizer = load_tokenizer(model.tokenizer)
    config = preset(model.preset).replace(
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        compute_dtype=model.compute_dtype,
        remat=model.remat,
    )
    shardings = weight_shardings(config, mesh)
    make = jax.jit(partial(init_params, config), out_shardings=shardings)
    return Policy(
        name=model.preset,
        config=config,
        params=make(jax.random.key(model.init_seed)),
        tokenizer=tokenizer,
        tokenizer_dir=model.tokenizer,
        origin=None,
    )


def _from_folder(model: ModelConfig, path: Path, mesh: Mesh) -> Policy:
    weights = load_weights(path, step=model.step, mesh=mesh)
    return Policy(
        name=path.name,
        config=weights.config.replace(
            compute_dtype=model.compute_dtype, remat=model.remat
        ),
        params=weights.params,
        tokenizer=load_tokenizer(weights.folder.tokenizer_dir),
        tokenizer_dir=weights.folder.tokenizer_dir,
        origin=Origin.at(weights.folder, weights.step),
    )
