"""A run folder: whose it is, and what is needed to tell later how it was made."""

import itertools
from pathlib import Path
from typing import Any

from rlaif_jax.config import Config
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.provenance import write_run_info
from rlaif_jax.typing import Json

_CLAIM = "claim.json"
# They change how fast or how far a run goes, never what it says.
_INCIDENTAL = {
    "address",
    "api_key_env",
    "audit",
    "batch",
    "blocks_in_flight",
    "budget_usd",
    "canaries",
    "checkpoint",
    "cpus_per_task",
    "debug",
    "dry_run",
    "engine",
    "max_attempts",
    "max_in_flight",
    "max_unanswered",
    "mesh",
    "pod",
    "question_timeout_s",
    "reference_cache",
    "requests_per_minute",
    "timeout_s",
    "tokens_per_minute",
    "trackers",
    "wait_s",
}


def claim(
    out: Path, config: Config, *, inputs: str = "", facts: Json | None = None
) -> None:
    """Makes a folder that of this run, and writes down how the run was started.

    `config.json` holds the resolved config, `run.json` its hash, package versions and
    the git commit, `claim.json` what may not change when the run is taken up again.

    Args:
      out: The run folder.
      config: The run's.
      inputs: A hash of what is read, where a path does not say enough.
      facts: More for `run.json`, such as what that was.

    Raises:
      UsageError: If the folder is another run's; the message names what differs.
    """
    wanted = essence(config.model_dump(mode="json")) | {"inputs": inputs}
    chosen = essence(config.model_dump(mode="json", exclude_defaults=True))
    path = out / _CLAIM
    if path.is_file():
        found = read_json(path, "claim of a run folder")
        known = _known_then(wanted, found, chosen | {"inputs": inputs})
        if found != known:
            keys = [
                k for k in known.keys() | found.keys() if found.get(k) != known.get(k)
            ]
            raise UsageError(
                f"{out} belongs to a run with another {', '.join(sorted(keys))}: choose"
                " another --out, or delete the folder"
            )
    write_run_info(out, config, facts)
    write_json(path, wanted)


def _known_then(wanted: Any, found: Any, chosen: Any) -> Any:
    """What is wanted, without new options that an older version's claim lacks.

    An option that nobody has chosen does what was done before there was a choice.

    Args:
      wanted: The claim of this run.
      found: The folder's.
      chosen: What of `wanted` is not a default.
    """
    if isinstance(wanted, list) and isinstance(found, list):
        told = chosen if isinstance(chosen, list) else []
        rows = itertools.zip_longest(wanted, found[: len(wanted)], told)
        return [_known_then(*row) for row in rows]
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return wanted
    told = chosen if isinstance(chosen, dict) else {}
    return {
        key: _known_then(value, found.get(key), told.get(key))
        for key, value in wanted.items()
        if key in found or key in told
    }


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
