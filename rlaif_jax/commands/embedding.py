"""A study that brings its own lab: the world's files, and the server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlaif_jax.commands.console import Console
from rlaif_jax.config import LabConfig
from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.lab.world import write_world
from rlaif_jax.study.config import StudyConfig

_WORLD = "world.json"  # written last
_DEFAULT = LabConfig()
ADDRESS = f"http://{_DEFAULT.host}:{_DEFAULT.port}"  # stands for the server in configs


@contextmanager
def served(config: StudyConfig, console: Console) -> Iterator[StudyConfig]:
    """The study with its lab running, if it has one.

    Every address that begins with the lab's usual one is that of the server here,
    which takes any free port; so two studies can run at a time.

    Raises:
      UsageError: If the world's folder holds another variant, or if an endpoint of the
        lab has no identity, without which its stages would be named by the port.
    """
    if config.lab is None:
        yield config
        return
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # no search for accelerators
    prepare_world(config.lab.world, config.lab.variant, console)
    with run_in_thread(config.lab.variant) as url:
        yield validate(StudyConfig, _moved(config.model_dump(mode="json"), url))


def prepare_world(folder: Path, variant: str, console: Console) -> None:
    """Writes a world, unless it is there.

    Raises:
      UsageError: If another variant's is.
    """
    path = folder / _WORLD
    if not path.is_file():
        console.say(f"writing the {variant} world to {folder}")
        write_world(folder, variant=variant)
        return
    found = read_json(path, "world of the lab")["variant"]
    if found != variant:
        raise UsageError(
            f"{folder} holds the {found} world, not the {variant} one: set lab.world to"
            " another folder"
        )


def _moved(document: Any, url: str) -> Any:
    """The document with the lab's usual address replaced."""
    if isinstance(document, dict):
        address = document.get("base_url") or ""
        if address.startswith(ADDRESS) and document.get("identity") is None:
            raise UsageError(
                f"{document['model']!r} is one of the lab, at a port that changes: give"
                " it identity: lab"
            )
        return {key: _moved(value, url) for key, value in document.items()}
    if isinstance(document, list):
        return [_moved(value, url) for value in document]
    if isinstance(document, str) and document.startswith(ADDRESS):
        return url + document.removeprefix(ADDRESS)
    return document
