"""`export-hf`: a model folder becomes a Hugging Face folder."""

import dataclasses
from pathlib import Path

import jax

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.card import Lineage
from rlaif_jax.checkpoint.hf import export_hf
from rlaif_jax.checkpoint.peft import export_adapters
from rlaif_jax.checkpoint.weights import load_weights
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.lineage import read_lineage
from rlaif_jax.config import ExportConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.models import Params
from rlaif_jax.typing import Json


def run(config: ExportConfig, out: Path, console: Console) -> Json:
    """Writes safetensors, config, tokenizer and model card."""
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty: choose another --out")
    lineage = read_lineage(config.model, config.evaluations, step=config.step)
    if config.base_model is not None:
        lineage = dataclasses.replace(lineage, base_model=config.base_model)
    console.say(f"exporting {config.model}")
    export = {"whole": _export_whole, "adapter": _export_adapter}[config.form]
    params = export(config, out, lineage)
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "dtype": config.dtype,
        "folder": str(out),
    }


def _export_whole(config: ExportConfig, out: Path, lineage: Lineage) -> Params:
    """Exports all weights, adapters merged into them."""
    weights = load_weights(config.model, step=config.step)
    export_hf(
        weights.config,
        weights.params,
        out,
        tokenizer_dir=weights.folder.tokenizer_dir,
        dtype=config.dtype,
        lineage=lineage,
    )
    return weights.params


def _export_adapter(config: ExportConfig, out: Path, lineage: Lineage) -> Params:
    """Exports adapters alone."""
    folder = store.open_folder(config.model)
    if folder.config.lora is None:
        raise UsageError(
            f"{config.model} has no adapters, its run trained all weights: leave out"
            " form=adapter"
        )
    adapters = store.restore_params(folder, config.step)
    export_adapters(
        folder.config,
        adapters,
        out,
        tokenizer_dir=folder.tokenizer_dir,
        lineage=lineage,
    )
    return adapters


def show(result: Json, out: Path) -> None:
    """Prints the size and where it is."""
    del out
    print(
        f"{result['parameters']:,} parameters as {result['dtype']}: {result['folder']}"
    )
