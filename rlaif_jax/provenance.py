"""What made a run: its config, the packages' versions and the source's commit.

Holds neither the command line nor the environment: both may carry secrets.
"""

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from rlaif_jax import __version__
from rlaif_jax.config import Config, config_hash
from rlaif_jax.files import write_atomic, write_json
from rlaif_jax.typing import Json

PACKAGES = (  # that results depend on
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "pyarrow",
    "transformers",
    "tokenizers",
    "openai",
    "anthropic",
)


def write_run_info(path: Path, config: Config, facts: Json | None = None) -> None:
    """Writes `config.json` and `run.json` into a run folder.

    Of several processes that share the folder, one calls this.

    Args:
      path: The run folder, made if it is missing.
      config: The run's, resolved.
      facts: More of `run.json`.
    """
    # in the config's own order: that of arms, and of the splits of prompts, matters
    document = json.dumps(config.model_dump(mode="json"), indent=1)
    write_atomic(path / "config.json", document + "\n")
    known = {
        "kind": type(config).__name__,
        "config_hash": config_hash(config),
        "rlaif_jax": __version__,
        "python": platform.python_version(),
        "packages": package_versions(),
        "commit": source_commit(Path(__file__).parent),
    }
    write_json(path / "run.json", known | (facts or {}))


def package_versions() -> dict[str, str]:
    """The installed versions of the packages that results depend on."""
    versions = ((name, installed_version(name)) for name in PACKAGES)
    return {name: version for name, version in versions if version is not None}


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def source_commit(folder: Path) -> str | None:
    """The git commit of the sources in a folder; None if git does not track them."""
    # an installed copy may lie inside somebody else's repository, untracked
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints about a folder, or None if it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
