"""`import-hf`: a Hugging Face folder becomes a model folder."""

import resource
import time
from pathlib import Path

import jax

from rlaif_jax.checkpoint.hf import import_folder
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.policy import open_devices
from rlaif_jax.config import ImportConfig
from rlaif_jax.models.transformer import abstract_params
from rlaif_jax.run_folder import claim
from rlaif_jax.runtime import distributed
from rlaif_jax.typing import Json


def run(config: ImportConfig, out: Path, console: Console) -> Json:
    """Reads the weights tensor by tensor, and writes them as checkpoint 0."""
    started = time.monotonic()
    mesh = open_devices(config.mesh)
    console.say(f"importing {config.folder}")
    if distributed.is_main():
        claim(out, config)
    model = import_folder(config.folder, out, config.param_dtype, mesh)
    leaves = jax.tree.leaves(abstract_params(model.config))
    return {
        "parameters": sum(leaf.size for leaf in leaves),
        "seconds": time.monotonic() - started,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "folder": str(out),
    }


def show(result: Json, out: Path) -> None:
    """Prints the size and where it is."""
    del out
    print(f"{result['parameters']:,} parameters: {result['folder']}")
