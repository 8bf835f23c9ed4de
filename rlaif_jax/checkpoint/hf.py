"""Models in and out of Hugging Face folders, tensor by tensor."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.card import UNKNOWN, Lineage
from rlaif_jax.checkpoint.companions import write_companions
from rlaif_jax.checkpoint.entries import Entry
from rlaif_jax.checkpoint.families import FAMILIES
from rlaif_jax.checkpoint.folder import ModelFolder
from rlaif_jax.checkpoint.hf_config import hf_config, read_hf_config
from rlaif_jax.checkpoint.stacking import read_parameter, tensors_of
from rlaif_jax.checkpoint.tensors import TensorFiles, write_tensors
from rlaif_jax.checkpoint.weights import weight_shardings
from rlaif_jax.errors import CorruptDataError, RefusedError, UsageError
from rlaif_jax.files import write_json
from rlaif_jax.models import Params, TransformerConfig, abstract_params

MAX_FILE_BYTES = 5 * 10**9  # of one exported weights file
# Tensors that files hold and no computation reads: tables that the config determines.
_DERIVED_SUFFIXES = (
    "rotary_emb.inv_freq",
    ".attention.bias",  # GPT-NeoX's and GPT-2's causal masks
    ".attention.masked_bias",
    ".attn.bias",
    ".attn.masked_bias",
)
_HEADS = {"lm_head.weight", "embed_out.weight"}
_IMPORT_DTYPES = ("float32", "bfloat16")
_EXPORT_DTYPES = ("float32", "bfloat16", "float16")


def import_hf(
    folder: Path | str, dtype: str = "float32", mesh: Mesh | None = None
) -> tuple[TransformerConfig, Params]:
    """A Hugging Face folder's model.

    The host holds one parameter (of all layers) at a time, and of it only what its
    own devices need.

    Args:
      folder: With config.json and safetensors, single or sharded.
      dtype: Of the parameters, whatever the files hold.
      mesh: Where to place them; JAX's first device if None.

    Returns:
      The architecture, and its parameters.

    Raises:
      UsageError: If the folder holds no model.
      RefusedError: If it needs something that is not implemented, or is unsafe.
      CorruptDataError: If a tensor is missing, damaged or of the wrong shape.
    """
    _require_dtype(dtype, _IMPORT_DTYPES)
    config = read_hf_config(Path(folder))
    files = TensorFiles(Path(folder))
    entries = _entries_in(files, config)
    _require_only_known(files, entries, config)
    shapes = abstract_params(config)
    shardings = weight_shardings(config, mesh)
    params: Params = {}
    for entry in entries:
        array = read_parameter(
            files, entry, _at(shapes, entry).shape, dtype, _at(shardings, entry)
        )
        parent = params
        for key in entry.path[:-1]:
            parent = parent.setdefault(key, {})
        parent[entry.path[-1]] = array
    return config, params


def import_folder(
    hf_folder: Path | str, out: Path, dtype: str, mesh: Mesh | None = None
) -> ModelFolder:
    """Makes a model folder, at step 0, of a Hugging Face folder.

    Args:
      hf_folder: As for `import_hf`, with the tokenizer's files.
      out: The model folder; the same import run again finds it done.
      dtype: Of the parameters.
      mesh: Where to place them on the way; JAX's first device if None.

    Returns:
      The model folder.

    Raises:
      CommandError: As `import_hf`.
    """
    config, params = import_hf(hf_folder, dtype, mesh)
    folder = store.create_folder(out, config, Path(hf_folder))
    store.save(folder, 0, state={"params": params}, position={}, keep=1)
    return folder


def export_hf(
    config: TransformerConfig,
    params: Params,
    out: Path | str,
    *,
    tokenizer_dir: Path | str,
    dtype: str = "float32",
    lineage: Lineage = UNKNOWN,
) -> list[Path]:
    """Writes a folder that transformers loads.

    Args:
      config: The architecture.
      params: Its parameters, all of them on this process's devices.
      out: The folder; created if need be. Weights that an earlier export left there
        are replaced, other weights are not touched.
      tokenizer_dir: Whose tokenizer files are copied.
      dtype: Of the written tensors.
      lineage: How the model was made, for its card.

    Returns:
      The files of weights.

    Raises:
      UsageError: If `out` holds weights that no export wrote, the tokenizer or dtype
        is not there, or the model has another head than one for tokens.
    """
    _require_dtype(dtype, _EXPORT_DTYPES)
    if config.head != "tokens":
        raise UsageError(f"a {config.head} model cannot be exported: only its scores")
    out = Path(out)
    write_companions(
        out, config, tokenizer_dir=Path(tokenizer_dir), lineage=lineage, dtype=dtype
    )
    files = write_tensors(
        out, _exported(config, params, dtype), max_bytes=MAX_FILE_BYTES
    )
    write_json(out / "config.json", hf_config(config, dtype))
    return files


def _exported(
    config: TransformerConfig, params: Params, dtype: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Hugging Face's tensors, one at a time."""
    sharing: dict[str, list[Entry]] = {}  # tensor name to its parameters
    for entry in FAMILIES[config.family].entries(config):
        sharing.setdefault(entry.name, []).append(entry)
    for entries in sharing.values():
        entries.sort(key=lambda entry: entry.part.index if entry.part else 0)
        yield from tensors_of(entries, [_at(params, e) for e in entries], dtype)


def _entries_in(files: TensorFiles, config: TransformerConfig) -> tuple[Entry, ...]:
    """The family's entries, under the names that these files use."""
    family = FAMILIES[config.family]
    entries, prefix = family.entries(config), family.optional_prefix
    if not prefix or any(name.startswith(prefix) for name in files.names):
        return entries
    return tuple(
        dataclasses.replace(entry, name=entry.name.removeprefix(prefix))
        for entry in entries
    )


def _require_only_known(
    files: TensorFiles, entries: tuple[Entry, ...], config: TransformerConfig
) -> None:
    """Refuses tensors that would be left out of the computation."""
    shapes = abstract_params(config)
    expected = {
        entry.name_at(index)
        for entry in entries
        for index in np.ndindex(_at(shapes, entry).shape[: entry.num_stacked])
    }
    extra = {name for name in files.names if not name.endswith(_DERIVED_SUFFIXES)}
    extra -= expected
    if config.tie_embeddings:
        extra -= _second_copies(files, entries, config)
    if extra:
        raise RefusedError(
            f"tensor {min(extra)} has no place in {config.family} with "
            f"{config.num_layers} layers: is config.json this model's?"
        )


def _second_copies(
    files: TensorFiles, entries: tuple[Entry, ...], config: TransformerConfig
) -> set[str]:
    """The heads among the tensors, which must be the embedding."""
    embedding = next(entry.name for entry in entries if entry.path == ("embedding",))
    heads = files.names & _HEADS
    shape = (config.vocab_size, config.embed)
    for head in heads:
        if not np.array_equal(files.read(head, shape), files.read(embedding, shape)):
            raise CorruptDataError(
                f"config.json has tie_word_embeddings=true, and {head} is not the "
                "embedding: one of them is wrong"
            )
    return heads


def _at(tree: Any, entry: Entry) -> Any:
    """The leaf of a tree like the parameters'."""
    for key in entry.path:
        tree = tree[key]
    return tree


def _require_dtype(dtype: str, allowed: tuple[str, ...]) -> None:
    if dtype not in allowed:
        raise UsageError(f"dtype {dtype!r} is not one of {', '.join(allowed)}")
