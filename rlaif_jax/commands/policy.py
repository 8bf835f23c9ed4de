"""Loads the model that a config names onto the devices of this run."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from rlaif_jax import log
from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.weights import Origin, load_weights, weight_shardings
from rlaif_jax.config_parts import MeshConfig, ModelConfig, PodConfig
from rlaif_jax.data.tokenizer import Tokenizer, load_tokenizer
from rlaif_jax.errors import UsageError
from rlaif_jax.models import Params, TransformerConfig, remat
from rlaif_jax.models.attending import support
from rlaif_jax.models.attending.rule import needs
from rlaif_jax.models.registry import preset
from rlaif_jax.models.transformer import init_params
from rlaif_jax.runtime import distributed, platform
from rlaif_jax.sharding.mesh import build_mesh

_log = log.logger(__name__)


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
def open_devices(
    mesh: MeshConfig, *, debug: bool = False, pod: PodConfig | None = None
) -> Iterator[Mesh]:
    """Joins the run's other processes, if any, and lays out the devices.

    Inside, the mesh is JAX's current one, so that activations are split by rows where
    models ask for it; without it each device would hold those of the whole batch.

    Args:
      mesh: The devices along each axis.
      debug: As of `platform.configure`.
      pod: How long to wait for other processes; as in `PodConfig`, if not given.

    Raises:
      UsageError: If the mesh does not fit the devices, or if the environment does not
        say which processes make up the run.
      InternalError: If a process is missing.
    """
    platform.configure(debug=debug)
    pod = pod or PodConfig()
    if not jax.distributed.is_initialized():
        distributed.start(start_s=pod.start_s, heartbeat_s=pod.heartbeat_s)
    with distributed.ending_together():
        devices = build_mesh(mesh)
        with jax.set_mesh(devices):
            yield devices


def load_policy(
    model: ModelConfig,
    mesh: Mesh,
    *,
    rows: Set[str],
    num_tokens: int,
    is_bfloat16: bool = False,
) -> Policy:
    """The model of a folder, or random weights of a preset.

    Args:
      model: The config.
      mesh: Where the weights go.
      rows: What they ask of attention, from `commands.rows`.
      num_tokens: Of the longest row.
      is_bfloat16: Whether to keep the weights in that alone, rounded to nearest.

    Raises:
      UsageError: If there is no such folder, step or preset, if the mesh does not
        divide its dimensions, or if model.attention cannot do what it needs.
      CorruptDataError: If every checkpoint is damaged.
    """
    if model.path is not None:
        config = with_choices(plain_config(model), model, mesh, rows, num_tokens)
        policy = _from_folder(model.path, config, model.step, mesh)
        return _in_bfloat16(policy) if is_bfloat16 else policy
    assert model.preset is not None  # the config's validator saw to these
    assert model.tokenizer is not None
    config = with_choices(plain_config(model), model, mesh, rows, num_tokens)
    shardings = weight_shardings(config, mesh)
    dtype = "bfloat16" if is_bfloat16 else "float32"
    make = jax.jit(partial(init_params, config, dtype=dtype), out_shardings=shardings)
    return Policy(
        name=model.preset,
        config=config,
        params=make(jax.random.key(model.init_seed)),
        tokenizer=load_tokenizer(model.tokenizer),
        tokenizer_dir=model.tokenizer,
        origin=None,
    )


def _from_folder(
    path: Path, config: TransformerConfig, step: int | None, mesh: Mesh
) -> Policy:
    weights = load_weights(path, step=step, mesh=mesh)
    return Policy(
        name=path.name,
        config=config,
        params=weights.params,
        tokenizer=load_tokenizer(weights.folder.tokenizer_dir),
        tokenizer_dir=weights.folder.tokenizer_dir,
        origin=Origin.at(weights.folder, weights.step),
    )


def _in_bfloat16(policy: Policy) -> Policy:
    """The same, leaf by leaf, so that few are there twice."""
    leaves, structure = jax.tree.flatten(policy.params)
    policy.params.clear()
    for n in range(len(leaves)):
        leaves[n] = leaves[n].astype(jnp.bfloat16)
    return replace(policy, params=structure.unflatten(leaves))


def plain_config(model: ModelConfig) -> TransformerConfig:
    """The architecture of a folder or a preset, before a run chooses anything.

    Raises:
      UsageError: If there is no such folder or preset, or its model does not write.
    """
    if model.path is not None:
        plain = store.open_folder(model.path).config.replace(lora=None)
        if plain.head != "tokens":
            raise UsageError(
                f"{model.path} holds a {plain.head} model, which scores completions and"
                " writes none: name the model that it was trained from"
            )
        return plain
    assert model.preset is not None  # the config's validator saw to these
    assert model.tokenizer is not None
    tokenizer = load_tokenizer(model.tokenizer)
    return preset(model.preset).replace(
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )


def with_choices(
    config: TransformerConfig,
    model: ModelConfig,
    mesh: Mesh,
    rows: Set[str],
    num_tokens: int,
) -> TransformerConfig:
    """The architecture with what this run chooses, and an attention that can do it.

    Args:
      config: The architecture.
      model: The config's.
      mesh: Where it runs.
      rows: As for `load_policy`.
      num_tokens: Of the longest row.

    Raises:
      UsageError: If model.attention, model.remat or the mesh cannot do what is needed.
    """
    config = config.replace(compute_dtype=model.compute_dtype, remat=model.remat)
    platform = mesh.devices.flat[0].platform
    asked = needs(config, num_tokens) | rows
    if mesh.shape["sequence"] > 1:
        if "cache" in rows:
            raise UsageError(
                f"mesh.sequence={mesh.shape['sequence']} splits the rows of training,"
                " and decoding has one token of each: use mesh.data, fsdp or tensor"
            )
        asked |= {"sequence"}
    attention = support.choose(model.attention, asked, platform)
    remat.require(model.remat, platform=platform, attention=attention)
    _log.info(f"attention: {attention} ({model.attention} on {platform})")
    return config.replace(attention=attention)
