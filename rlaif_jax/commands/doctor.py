"""`doctor`: is this machine ready?"""

import os
import platform
import shutil
import sys
from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.config import DoctorConfig
from rlaif_jax.provenance import PACKAGES, installed_version
from rlaif_jax.typing import Json

_PACKAGES = (*PACKAGES, "datasets", "tensorflow-datasets")
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN")
_LOW_DISK_BYTES = 10 * 2**30


def run(config: DoctorConfig, out: Path, console: Console) -> Json:
    """Looks at devices, versions, keys (their presence only), and disk."""
    from rlaif_jax.runtime import platform as accelerators

    if config.bundle is not None:
        from rlaif_jax.commands.replay import replay

        return {"replay": replay(config.bundle)}

    free = shutil.disk_usage(out.parent if out.parent.is_dir() else Path.cwd()).free
    notes = []
    if free < _LOW_DISK_BYTES:
        notes.append(f"only {free / 2**30:.1f} GiB of disk are free")
    if not any(os.environ.get(key) for key in _KEYS[:2]):
        notes.append("no API key is set: only the lab and local endpoints answer")
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "free_disk_bytes": free,
        "packages": {name: installed_version(name) or "missing" for name in _PACKAGES},
        "keys_present": {key: bool(os.environ.get(key)) for key in _KEYS},
        "accelerators": accelerators.describe(),
        "notes": notes,
    }


def show(result: Json, out: Path) -> None:
    """Prints one line a fact."""
    del out
    if "replay" in result:
        from rlaif_jax.commands.replay import show_replay

        show_replay(result["replay"])
        return
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, inner in value.items():
                print(f"  {name:22} {inner}")
        elif key != "notes":
            print(f"{key:24} {value}")
    for note in result["notes"]:
        print(f"note: {note}")
