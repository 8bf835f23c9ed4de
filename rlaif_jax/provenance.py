"""What made a run: its config, the packages' versions and the source's commit.

Holds neither the command line nor the environment: both may carry secrets.
"""

import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from rlaif_jax import __version__
from rlaif_jax.files import write_json
from rlaif_jax.typing import Json

_PACKAGES = (
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


def write_run_info(
    path: Path, config_document: Json, extra: Mapping[str, Any] | None = None
) -> None:
    """Writes `config.json` and `run.json` into a run folder.

    Of several processes that share the folder, one calls this.

    Args:
      path: The run folder, made if it is missing.
      config_document: The resolved config as JSON.
      extra: More facts for `run.json`, such as the config's hash.
    """
    write_json(path / "config.json", config_document)
    facts = {
        "rlaif_jax": __version__,
        "python": platform.python_version(),
        "packages": package_versions(),
        "commit": source_commit(Path(__file__).parent),
    }
    write_json(path / "run.json", facts | dict(extra or {}))


def package_versions() -> dict[str, str]:
    """The installed versions of the packages that results depend on."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


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
