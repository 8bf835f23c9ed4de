"""A file of log-probabilities by pair, which survives its writer being killed."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from rlaif_jax import log
from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_atomic

_log = log.logger(__name__)

_HEAD = struct.Struct("<16sII")  # key, number of values, CRC-32 of all else
_SUFFIX = ".logps"


class LogpStore:
    """What is known of one reference, in a folder that several runs may share.

    Each writer has a file of its own and reads everybody's. An entry that is not as
    it was written ends its file: what came behind it is computed again.

    Attributes:
      known: Values of each key, in nats.
    """

    def __init__(self, folder: Path, *, identity: str, writer: str):
        """Reads what is there.

        Args:
          folder: For all references; made if missing.
          identity: Of the reference: others' entries are never looked at.
          writer: Names this run's file.

        Raises:
          UsageError: If the folder cannot be written.
        """
        place = folder / identity
        try:
            place.mkdir(parents=True, exist_ok=True)
            self._path = place / f"{writer}{_SUFFIX}"
            self._path.touch()
        except OSError as error:
            raise UsageError(
                f"cannot keep the reference's log-probabilities in {folder}:"
                f" {error.strerror}; name another place as reference_cache"
            ) from error
        self.known: dict[bytes, Float32[np.ndarray, " _"]] = {}
        for path in sorted(place.glob(f"*{_SUFFIX}")):
            self.known |= self._read(path)

    def add(self, values: Mapping[bytes, Float32[np.ndarray, " _"]]) -> None:
        """Remembers entries, and appends them to this writer's file."""
        self.known |= values
        with self._path.open("ab") as file:
            file.write(b"".join(_entry(key, row) for key, row in values.items()))

    def _read(self, path: Path) -> dict[bytes, Float32[np.ndarray, " _"]]:
        """A file's entries up to the first damage, which is cut off if it is ours."""
        content = path.read_bytes()
        found, intact = {}, 0
        for key, row, end in _entries(content):
            found[key], intact = row, end
        if intact < len(content):
            _log.warning(f"{path} is damaged behind {intact} bytes: computed again")
            if path == self._path:
                write_atomic(path, content[:intact])
        return found


def _entry(key: bytes, row: Float32[np.ndarray, " _"]) -> bytes:
    """One entry as bytes that show damage."""
    payload = row.astype("<f4").tobytes()
    check = zlib.crc32(key + payload)
    return _HEAD.pack(key, len(row), check) + payload


def _entries(content: bytes) -> Iterator[tuple[bytes, Float32[np.ndarray, " _"], int]]:
    """Key, values and end of each entry before the first that is damaged."""
    start = 0
    while start + _HEAD.size <= len(content):
        key, count, check = _HEAD.unpack_from(content, start)
        begin, start = start + _HEAD.size, start + _HEAD.size + 4 * count
        payload = content[begin:start]
        if len(payload) < 4 * count or zlib.crc32(key + payload) != check:
            return
        yield key, np.frombuffer(payload, "<f4"), start
