"""How long a run folder's runs have held their devices, those that were killed too."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rlaif_jax.files import read_json, write_json
from rlaif_jax.log import logger

_LOG = logger(__name__)
_FILE = "device_time.json"
_NOTED_S = 5.0  # what a kill without warning may leave out


def device_seconds(folder: Path) -> float:
    """Seconds times devices of all runs in a folder; 0 where nothing ran."""
    path = folder / _FILE
    return float(read_json(path, "device time")["seconds"]) if path.is_file() else 0.0


@contextmanager
def device_time(
    folder: Path,
    devices: int,
    *,
    writes: bool = True,
    every_s: float = _NOTED_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Adds the time that is spent inside to what the folder's earlier runs have spent.

    It is noted while it passes, so that a run that is killed is counted as well.

    Args:
      folder: The run's.
      devices: That it holds.
      writes: Whether this process is the one that writes.
      every_s: How often it is noted.
      clock: Seconds.
    """
    if not writes:
        yield
        return
    before, begun, ended = device_seconds(folder), clock(), threading.Event()

    def note() -> None:
        seconds = before + devices * (clock() - begun)
        try:
            write_json(folder / _FILE, {"seconds": seconds})
        except OSError as error:  # no reason to lose what the run itself has to say
            _LOG.warning("device time not noted: %s", error)

    def keep_noting() -> None:
        while not ended.wait(every_s):
            note()

    noting = threading.Thread(target=keep_noting, daemon=True)
    noting.start()
    try:
        yield
    finally:
        ended.set()
        noting.join()
        note()
