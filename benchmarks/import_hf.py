"""How fast a 7B checkpoint is imported, and how much memory that takes.

    python benchmarks/import_hf.py /big/disk/checkpoint

Writes a random checkpoint of Mistral 7B's shape there (14.5 GB, bfloat16, three files)
unless it is there, then reads it three times, each in a process of its own:
`safetensors.numpy` tensor by tensor, which keeps nothing; `import_hf` onto one device;
and onto eight simulated ones, split by fsdp. Writes benchmarks/results/import_hf.json.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import safetensors

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.checkpoint.families import FAMILIES
from rlaif_jax.checkpoint.hf_config import hf_config
from rlaif_jax.checkpoint.tensors import write_tensors
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.files import write_json
from rlaif_jax.models import abstract_params, preset
from rlaif_jax.sharding.mesh import build_mesh

PRESET = "mistral-7b-v0.1"
RESULTS = Path(__file__).parent / "results" / "import_hf.json"
MODES = {"safetensors.numpy": 1, "import_hf, 1 device": 1, "import_hf, 8 devices": 8}


def main(folder: Path) -> None:
    """Writes the checkpoint and measures every mode."""
    if not (folder / "config.json").is_file():
        write_checkpoint(folder)
    num_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    read_all(folder)  # from the disk once, so that all read from the page cache
    rows = {mode: measure(folder, mode) for mode in MODES}
    for row in rows.values():
        row["gb_per_s"] = round(num_bytes / row["seconds"] / 1e9, 3)
        print(row)
    RESULTS.write_text(
        json.dumps({"preset": PRESET, "bytes": num_bytes, "modes": rows}, indent=1)
    )


def write_checkpoint(folder: Path) -> None:
    """A random model in Hugging Face's form."""
    folder.mkdir(parents=True, exist_ok=True)
    config = preset(PRESET)
    write_tensors(folder, random_tensors(), max_bytes=5 * 10**9)
    write_json(folder / "config.json", hf_config(config, "bfloat16"))


def random_tensors() -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor of the model, cut from one block of random values."""
    config = preset(PRESET)
    shapes = abstract_params(config)
    values = np.random.default_rng(0).normal(size=1 << 24).astype(ml_dtypes.bfloat16)
    for entry in FAMILIES[config.family].entries(config):
        leaf = shapes
        for key in entry.path:
            leaf = leaf[key]
        shape = entry.tensor_shape(leaf.shape[entry.num_stacked :])
        for index in np.ndindex(leaf.shape[: entry.num_stacked]):
            yield entry.name_at(index), np.resize(values, shape)


def measure(folder: Path, mode: str) -> dict[str, float]:
    """Seconds and memory of one mode, from a fresh process."""
    flags = f"--xla_force_host_platform_device_count={MODES[mode]}"
    done = subprocess.run(
        [sys.executable, __file__, str(folder), mode],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run(folder: Path, mode: str) -> dict[str, float]:
    """One mode, in this process."""
    arrays = 0
    if mode == "safetensors.numpy":
        started = time.monotonic()
        read_all(folder)
    else:
        mesh = build_mesh(MeshConfig())
        started = time.monotonic()
        _, params = import_hf(folder, "bfloat16", mesh)
        jax.block_until_ready(params)
        arrays = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": round(seconds, 2),
        "peak_rss_gib": round(peak / 2**30, 3),
        "arrays_gib": round(arrays / 2**30, 3),
    }


def read_all(folder: Path) -> None:
    """Every tensor once, through safetensors' own reader."""
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                np.ascontiguousarray(file.get_tensor(name))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
    else:
        main(Path(sys.argv[1]))
