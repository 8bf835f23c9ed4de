"""What may still be spent of one rate limit."""

import time
from collections.abc import Callable
from typing import NamedTuple

from rlaif_jax.labeling.headers import Quota

_MINUTE_S = 60.0
_ROUNDING = 1e-6  # of a request or token: a wait ends there, whatever floats add up to


class Taken(NamedTuple):
    """What one call has taken from a bucket.

    Attributes:
      amount: Requests or tokens.
      total: Of all calls so far, this one included.
      at: When, in seconds.
    """

    amount: int
    total: int
    at: float


class Bucket:
    """A level that falls with every call, and rises at a constant rate to a capacity.

    A call takes the most that it may need before it is sent, and gives back what it did
    not need. One that needs more than the capacity goes when the bucket is full, and
    leaves a debt that later calls wait for.
    """

    def __init__(
        self,
        *,
        capacity: float,
        per_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        """A full bucket.

        Args:
          capacity: Requests or tokens that may be spent at once.
          per_s: How many come back in a second.
          clock: Seconds from any origin.
        """
        self._capacity = capacity
        self._per_s = per_s
        self._share = 1.0
        self._clock = clock
        self._level = capacity
        self._filled_at = clock()
        self._total = 0  # ever taken

    @classmethod
    def of_minute(
        cls, amount: int, *, clock: Callable[[], float] = time.monotonic
    ) -> "Bucket":
        """A limit per minute, spent evenly: no second takes much above its share."""
        per_s = amount / _MINUTE_S
        return cls(capacity=per_s, per_s=per_s, clock=clock)

    @classmethod
    def of_server(
        cls,
        quota: Quota,
        *,
        share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> "Bucket":
        """A limit that a server told for the first time, or a share of it."""
        bucket = cls(capacity=quota.limit, per_s=_per_s(quota), clock=clock)
        bucket._share = share
        bucket._level = quota.remaining * share
        return bucket

    def share(self, share: float) -> None:
        """Leaves the rest of the limit to others that ask the same server.

        Args:
          share: Above 0 to 1, of the capacity and of what comes back; with 0 nobody
            may ask when a call can go.
        """
        self._fill()
        self._share = share
        self._level = min(self._level, self._capacity * share)

    def wait_s(self, amount: int) -> float:
        """Seconds until a call that may need that much can go."""
        self._fill()
        lacking = min(amount, self._capacity * self._share) - self._level
        per_s = self._per_s * self._share
        return lacking / per_s if lacking > _ROUNDING else 0.0

    def take(self, amount: int) -> Taken:
        """Sets aside what a call may need."""
        self._fill()
        self._level -= amount
        self._total += amount
        return Taken(amount, self._total, self._filled_at)

    def settle(self, taken: Taken, used: int) -> None:
        """Gives back what a call took and did not use; it may have used more."""
        self._fill()
        self._level += taken.amount - used

    def learn(self, quota: Quota, taken: Taken) -> None:
        """Corrects the level by what the server told a call that took so much.

        The server looked at some time between the call's arrival and its answer. So at
        least what was left is left, less all that was taken since the call began; and
        at most that and what has come back since then.
        """
        self._fill()
        self._capacity = quota.limit
        self._per_s = _per_s(quota)
        remaining = quota.remaining * self._share
        least = remaining - (self._total - taken.total)
        most = remaining + (self._filled_at - taken.at) * self._per_s * self._share
        self._level = min(max(self._level, least), most)

    def _fill(self) -> None:
        now = self._clock()
        risen = self._level + (now - self._filled_at) * self._per_s * self._share
        self._level = min(risen, self._capacity * self._share)
        self._filled_at = now


def _per_s(quota: Quota) -> float:
    """How fast a server's limit comes back: in a minute, or slower if it says so."""
    per_s = quota.limit / _MINUTE_S
    used = quota.limit - quota.remaining
    if used and quota.reset_s:
        per_s = min(per_s, used / quota.reset_s)
    return per_s
