"""`import-hf`: a Hugging Face folder becomes a model folder."""

import resource
import time
from pathlib import Path

import jax

from rlaif_jax.checkpoint.hf import import_folder
from rlaif_jax.checkpoint.hub import download
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.policy import open_devices
from rlaif_jax.config import ImportConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.models.transformer import abstract_params
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.runtime import distributed
from rlaif_jax.typing import Json


def run(config: ImportConfig, out: Path, console: Console) -> Json:
    """Reads the weights tensor by tensor, and writes them as checkpoint 0."""
    started = time.monotonic()
    with open_devices(config.mesh) as mesh:
        folder, stamp = _source(config)
        console.say(f"importing {folder}")
        if distributed.is_main():
            claim(out, config, inputs=stamp)
        model = import_folder(folder, out, config.param_dtype, mesh)
        leaves = jax.tree.leaves(abstract_params(model.config))
        return {
            "parameters": sum(leaf.size for leaf in leaves),
            "seconds": time.monotonic() - started,
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "folder": str(out),
        }


def _source(config: ImportConfig) -> tuple[Path, str]:
    """Where the files are, and a hash of what they are."""
    if config.folder is not None:
        return config.folder, _stamps(config.folder)
    assert config.repo is not None  # the config's validator saw to these
    assert config.revision is not None
    return download(config.repo, config.revision), config.revision


def _stamps(folder: Path) -> str:
    """A hash of every file's name, size and time: weights that changed are noticed."""
    if not folder.is_dir():
        raise UsageError(f"no folder at {folder}: give a local Hugging Face folder")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    stats = [(path.name, path.stat()) for path in files]
    return content_hash([(name, s.st_size, s.st_mtime_ns) for name, s in stats])


def show(result: Json, out: Path) -> None:
    """Prints the size and where it is."""
    del out
    print(f"{result['parameters']:,} parameters: {result['folder']}")
