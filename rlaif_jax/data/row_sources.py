"""What a row stream reads from: records in memory, or a folder of sealed shards."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from rlaif_jax.data.manifest import Manifest, ManifestHead, read_manifest
from rlaif_jax.data.shards import read_shard
from rlaif_jax.errors import CorruptDataError, PreemptedError
from rlaif_jax.records import Preference

RecordT = TypeVar("RecordT")


class MemorySource(Generic[RecordT]):
    """Records that are all there, as one shard."""

    def __init__(self, records: Sequence[RecordT], *, fingerprint: str):
        """Wraps the records.

        Args:
          records: In an order that every host agrees on.
          fingerprint: A hash of their content, so that a resumed run notices change.
        """
        self._records = records
        self._fingerprint = fingerprint

    def num_shards(self) -> tuple[int, bool]:
        """One, and it is all."""
        return (1, True)

    def num_rows(self, shard: int) -> int:
        """How many records there are."""
        return len(self.rows(shard))

    def rows(self, shard: int) -> Sequence[RecordT]:
        """The records."""
        if shard != 0:
            raise IndexError(f"shard {shard} of 1")
        return self._records

    def prefix_hash(self, num_shards: int) -> str:
        """The fingerprint, once the records count."""
        return self._fingerprint if num_shards else ""

    def wait(self) -> None:
        """Never called: nothing is missing."""
        raise IndexError("records in memory do not grow")


class ManifestSource:
    """The preferences of a folder that may still be growing.

    What is known of the folder's growth comes from `poll` alone, so that all hosts
    of a pod can be told the same by one of them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        wait_s: float,
        poll: Callable[[], tuple[int, bool]] | None = None,
        poll_every_s: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
        cached_shards: int = 4,
    ):
        """Opens the folder.

        Args:
          folder: Where `manifest.jsonl` is.
          wait_s: Longest wait for one more shard.
          poll: Shards sealed by now, and whether they are all; reads this host's
            manifest if not given. Called equally often on all hosts, so it may be a
            collective.
          poll_every_s: Between two polls.
          sleep: Waits that many seconds.
          cached_shards: Decoded shards kept in memory.

        Raises:
          UsageError: If there is no manifest.
          CorruptDataError: If the manifest is damaged.
        """
        self._folder = folder
        self._manifest = read_manifest(folder)
        self._poll = poll or (lambda: manifest_head(folder))
        self._wait_s = wait_s
        self._poll_every_s = poll_every_s
        self._sleep = sleep
        self._cached_shards = cached_shards
        self._decoded: OrderedDict[int, tuple[Preference, ...]] = OrderedDict()
        self._head = ManifestHead(*self._poll())

    def num_shards(self) -> tuple[int, bool]:
        """What the last poll said."""
        return (self._head.num_shards, self._head.is_final)

    def num_rows(self, shard: int) -> int:
        """Rows of a sealed shard, as its manifest line says."""
        return self._visible(shard + 1).entries[shard].rows

    def rows(self, shard: int) -> tuple[Preference, ...]:
        """The verified rows of a sealed shard; the latest ones stay in memory."""
        if shard not in self._decoded:
            entry = self._visible(shard + 1).entries[shard]
            self._decoded[shard] = read_shard(self._folder, entry)
            if len(self._decoded) > self._cached_shards:
                self._decoded.popitem(last=False)
        self._decoded.move_to_end(shard)
        return self._decoded[shard]

    def prefix_hash(self, num_shards: int) -> str:
        """The chained hash of the first shards.

        Raises:
          CorruptDataError: If fewer are sealed: sealed shards do not go away.
        """
        if num_shards > self._head.num_shards:
            raise CorruptDataError(
                f"{self._folder} has {self._head.num_shards} sealed shards, but"
                f" {num_shards} were read before: restore the folder"
            )
        return self._visible(num_shards).hashes[num_shards]

    def wait(self) -> None:
        """Polls until more is sealed.

        Counts polls and not time: hosts must give up at the same poll, or those
        that still wait would wait for ever.

        Raises:
          PreemptedError: If nothing is sealed within `wait_s`.
        """
        before = self._head
        for _ in range(math.ceil(self._wait_s / self._poll_every_s)):
            self._sleep(self._poll_every_s)
            self._head = ManifestHead(*self._poll())
            if self._head != before:
                return
        raise PreemptedError(
            f"labeling has not sealed shard {before.num_shards} in {self._folder}"
            f" within {self._wait_s:g} s: run again when it goes on"
        )

    def _visible(self, num_shards: int) -> Manifest:
        """The manifest on this host's disk, waited for until it has these shards.

        A shared file system may show one host what another does not see yet.
        """
        attempts = 1 + math.ceil(self._wait_s / self._poll_every_s)
        for attempt in range(attempts):
            if len(self._manifest.entries) >= num_shards:
                return self._manifest
            if attempt:
                self._sleep(self._poll_every_s)
            self._manifest = read_manifest(self._folder)
        if len(self._manifest.entries) >= num_shards:
            return self._manifest
        raise PreemptedError(
            f"{self._folder} shows {len(self._manifest.entries)} of {num_shards} sealed"
            f" shards on this host after {self._wait_s:g} s: check that it is shared"
        )


def manifest_head(folder: Path) -> ManifestHead:
    """How far a folder has grown by now; what one host reads and tells the others."""
    return read_manifest(folder).head
