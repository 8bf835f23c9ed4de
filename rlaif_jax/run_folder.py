"""A run folder: whose it is, and what is needed to tell later how it was made."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from rlaif_jax.config import Config
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.records import content_hash
from rlaif_jax.typing import Json

_CLAIM = "claim.json"
# They change how fast or how far a run goes, never what it says.
_INCIDENTAL = {
    "api_key_env",
    "budget_usd",
    "checkpoint",
    "debug",
    "max_attempts",
    "max_in_flight",
    "timeout_s",
    "wait_s",
}
_PACKAGES = (
    "rlaif_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "transformers",
    "datasets",
    "openai",
    "anthropic",
)


def claim(out: Path, config: Config, *, inputs: str = "") -> None:
    """Makes a folder that of this run, and writes down how the run was started.

    `config.json` holds the resolved config, `run.json` its hash, package versions and
    the git commit, `claim.json` what may not change when the run is taken up again.

    Args:
      out: The run folder.
      config: The run's.
      inputs: A hash of what is read, where a path does not say enough.

    Raises:
      UsageError: If the folder is another run's; the message names what differs.
    """
    document = config.model_dump(mode="json")
    wanted = essence(document) | {"inputs": inputs}
    path = out / _CLAIM
    if path.is_file():
        found = read_json(path, "claim of a run folder")
        if found != wanted:
            keys = [
                k for k in wanted.keys() | found.keys() if found.get(k) != wanted.get(k)
            ]
            raise UsageError(
                f"{out} belongs to a run with another {', '.join(sorted(keys))}: choose"
                " another --out, or delete the folder"
            )
    write_json(out / "config.json", document)
    write_json(out / "run.json", _provenance(document))
    write_json(path, wanted)


def essence(document: Any) -> Any:
    """A config's document without what cannot change the run's results.

    An endpoint that has an identity may move to another address.
    """
    if isinstance(document, dict):
        moves = document.get("identity") is not None
        return {
            key: essence(value)
            for key, value in document.items()
            if key not in _INCIDENTAL and not (moves and key == "base_url")
        }
    if isinstance(document, list):
        return [essence(value) for value in document]
    return document


def versions() -> dict[str, str]:
    """The versions of the packages that results depend on."""
    return {name: metadata.version(name) for name in _PACKAGES}


def _provenance(document: Json) -> Json:
    return {
        "config_hash": content_hash(document),
        "versions": versions(),
        "python": platform.python_version(),
        "git_commit": git_commit(),
    }


@functools.cache
def git_commit() -> str | None:
    """The commit of the checkout that this package runs from, if it is one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
