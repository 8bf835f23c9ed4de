"""`export-hf`: a model folder becomes a Hugging Face folder."""

from pathlib import Path

import jax

from rlaif_jax.checkpoint.hf import export_hf
from rlaif_jax.checkpoint.weights import load_weights
from rlaif_jax.commands.console import Console
from rlaif_jax.config import ExportConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.typing import Json


def run(config: ExportConfig, out: Path, console: Console) -> Json:
    """Writes safetensors, config, tokenizer and model card."""
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty: choose another --out")
    console.say(f"exporting {config.model}")
    weights = load_weights(config.model, step=config.step)
    export_hf(
        weights.config,
        weights.params,
        out,
        tokenizer_dir=weights.folder.tokenizer_dir,
        dtype=config.dtype,
    )
    parameters = sum(leaf.size for leaf in jax.tree.leaves(weights.params))
    return {"parameters": parameters, "dtype": config.dtype, "folder": str(out)}


def show(result: Json, out: Path) -> None:
    """Prints the size and where it is."""
    del out
    print(
        f"{result['parameters']:,} parameters as {result['dtype']}: {result['folder']}"
    )
