"""Preferences of a folder that labeling may still be filling, for all processes."""

import time
from functools import partial
from pathlib import Path

import jax

from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.data.row_sources import ManifestSource, manifest_head
from rlaif_jax.errors import PreemptedError
from rlaif_jax.runtime import distributed


def preference_source(
    folder: Path, *, wait_s: float, poll_every_s: float = 1.0
) -> ManifestSource:
    """The folder's preferences; a signal to stop also ends the wait for a shard.

    Args:
      folder: Where `manifest.jsonl` is.
      wait_s: Longest wait for one more shard.
      poll_every_s: Between two looks at the manifest.

    Raises:
      UsageError: If there is no manifest.
      CorruptDataError: If it is damaged.
    """
    return ManifestSource(
        folder,
        wait_s=wait_s,
        poll=partial(_agreed_head, folder),
        poll_every_s=poll_every_s,
        sleep=_sleep,
    )


def _agreed_head(folder: Path) -> tuple[int, bool]:
    """How far the folder has grown in the eyes of process 0."""

    def head() -> int:
        num_shards, is_final = manifest_head(folder)
        return 2 * num_shards + is_final

    seen = on_first_process(head, what=f"read the manifest of {folder}")
    return seen // 2, bool(seen % 2)


def _sleep(seconds: float) -> None:
    """Sleeps; in a run of one process, a signal to stop is heeded after it."""
    time.sleep(seconds)
    # several processes must agree on the step at which they stop, and this is none
    if jax.process_count() == 1 and distributed.stop_requested(0):
        raise PreemptedError(
            "stopped while waiting for labels: run the same command again to continue"
        )
