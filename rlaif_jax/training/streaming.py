"""Preferences of a folder that labeling may still be filling, for all processes."""

import math
import time
from functools import partial
from pathlib import Path

import jax

from rlaif_jax import log
from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.data.manifest import FILE_NAME
from rlaif_jax.data.row_sources import ManifestSource, manifest_head
from rlaif_jax.errors import PreemptedError
from rlaif_jax.runtime import distributed, watchdog

_FIRST_WAIT_S = 60.0  # for a `label` that was started beside this run

_log = log.logger(__name__)


def preference_source(
    folder: Path, *, wait_s: float, poll_every_s: float = 1.0
) -> ManifestSource:
    """The folder's preferences; a signal to stop also ends the wait for a shard.

    Args:
      folder: Where `manifest.jsonl` is.
      wait_s: Longest wait for one more shard.
      poll_every_s: Between two looks at the manifest.

    Raises:
      UsageError: If no manifest appears, within a minute and `wait_s`.
      CorruptDataError: If it is damaged.
    """
    _await_manifest(folder, min(wait_s, _FIRST_WAIT_S), poll_every_s)
    return ManifestSource(
        folder,
        wait_s=wait_s,
        poll=partial(_agreed_head, folder),
        poll_every_s=poll_every_s,
        sleep=_sleep,
    )


def _await_manifest(folder: Path, wait_s: float, poll_every_s: float) -> None:
    """Gives labeling the time to begin; whether it has is for the source to say."""
    path = folder / FILE_NAME
    for attempt in range(math.ceil(wait_s / poll_every_s)):
        _heed_stop()
        if on_first_process(lambda: int(path.is_file()), what=f"look for {path}"):
            return
        if not attempt:
            _log.info("no %s in %s yet: waiting %g s", FILE_NAME, folder, wait_s)
        time.sleep(poll_every_s)


def _agreed_head(folder: Path) -> tuple[int, bool]:
    """How far the folder has grown in the eyes of process 0; heeds a signal to stop."""

    def head() -> int:
        num_shards, is_final = manifest_head(folder)
        return 2 * num_shards + is_final

    _heed_stop()
    watchdog.moved("a look at the manifest")
    seen = on_first_process(head, what=f"read the manifest of {folder}")
    return seen // 2, bool(seen % 2)


def _sleep(seconds: float) -> None:
    """Sleeps; in a run of one process, a signal to stop is heeded after it."""
    time.sleep(seconds)
    watchdog.moved("a look for a shard")
    if jax.process_count() == 1:  # one host of several may wait alone, and stop alone
        _heed_stop()


def _heed_stop() -> None:
    """Stops if all processes, which all call this, were asked to."""
    if distributed.stop_requested():
        raise PreemptedError(
            "stopped while waiting for labels: run the same command again to continue"
        )
