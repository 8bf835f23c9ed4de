"""Where each question's answer stands in the ledger: 24 bytes a question."""

import numpy as np
from jaxtyping import Shaped

KEY_BYTES = 16
_LEAST_RECENT = 65_536  # questions in a dictionary, until they are sorted in
_RECENT_SHARE = 16  # one of so many, if that is more


class Places:
    """A dictionary of 16-byte keys, most of which lie sorted in an array.

    A Python dictionary takes 120 bytes for each. The newest keys are in one all the
    same; whenever there are enough of them, they are sorted in together. What is kept
    under a key is a number below 2^64.
    """

    def __init__(self) -> None:
        self._recent: dict[bytes, int] = {}
        self._keys: Shaped[np.ndarray, " N"] = np.empty(0, f"S{KEY_BYTES}")
        self._values = np.empty(0, np.uint64)
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def get(self, key: bytes) -> int | None:
        """The number that was kept under a key of 16 bytes; None if there is none."""
        value = self._recent.get(key)
        if value is not None or not len(self._keys):
            return value
        place = int(np.searchsorted(self._keys, np.bytes_(key)))
        # NumPy leaves zeros at the end out, of all keys alike
        if place == len(self._keys) or self._keys[place] != key.rstrip(b"\0"):
            return None
        return int(self._values[place])

    def __setitem__(self, key: bytes, value: int) -> None:
        self._number += self.get(key) is None
        self._recent[key] = value
        if len(self._recent) >= max(_LEAST_RECENT, self._number // _RECENT_SHARE):
            self._sort_in()

    def _sort_in(self) -> None:
        """Moves the newest keys to the sorted ones; a newer value wins."""
        recent = np.array(list(self._recent), self._keys.dtype)
        values = np.fromiter(self._recent.values(), np.uint64, len(recent))
        order = np.argsort(recent)
        recent, values = recent[order], values[order]
        at = np.searchsorted(self._keys, recent)
        is_known = np.zeros(len(recent), bool)
        inside = at < len(self._keys)
        is_known[inside] = self._keys[at[inside]] == recent[inside]
        self._values[at[is_known]] = values[is_known]
        # one after the other: beside what is kept there is one copy at a time
        self._keys = np.insert(self._keys, at[~is_known], recent[~is_known])
        self._values = np.insert(self._values, at[~is_known], values[~is_known])
        self._recent = {}
