"""Names the call that has been under way the longest, when that is long."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from rlaif_jax import log

_log = log.logger(__name__)


class Watchdog:
    """Knows what is under way, and since when."""

    def __init__(
        self,
        endpoint: str,
        *,
        after_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ):
        """A watchdog that sees nothing yet.

        Args:
          endpoint: Who is called, for the log.
          after_s: Age of a call at which it is named.
          sleep: Waits that many seconds.
          clock: Seconds from any origin.
        """
        self._endpoint = endpoint
        self._after_s = after_s
        self._sleep = sleep
        self._clock = clock
        self._under_way: dict[object, tuple[str, float]] = {}  # oldest first

    @contextmanager
    def watched(self, name: str) -> Iterator[None]:
        """Open while a call about `name` is under way."""
        call = object()
        self._under_way[call] = (name, self._clock())
        try:
            yield
        finally:
            del self._under_way[call]

    async def watch(self) -> None:
        """Names the oldest call, until cancelled; while there is one, ever less often.

        The first line comes when a call has the age for it, each further one after
        twice the time of the one before.
        """
        wait_s = gap_s = self._after_s
        while True:
            await self._sleep(wait_s)
            name, age_s = self._oldest()
            if age_s < self._after_s:
                gap_s = self._after_s
                wait_s = self._after_s - age_s
                continue
            _log.info(
                "calls to %s under way: %d; the oldest, about %s, for %.0f s",
                self._endpoint,
                len(self._under_way),
                name,
                age_s,
            )
            gap_s *= 2
            wait_s = gap_s

    def _oldest(self) -> tuple[str, float]:
        """What the oldest call is about, and its age in seconds."""
        if not self._under_way:
            return "", 0.0
        name, begun_at = next(iter(self._under_way.values()))
        return name, self._clock() - begun_at
