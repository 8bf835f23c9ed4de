"""How many calls may be under way, and when none may start."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from rlaif_jax import log
from rlaif_jax.errors import PreemptedError
from rlaif_jax.labeling.stop import Stop

_log = log.logger(__name__)


class Limits:
    """Calls in flight to one provider, and the pause that all of them keep.

    A provider that says when to come back means everyone: one rate limit holds
    back all calls, not only the one that met it.
    """

    def __init__(
        self,
        *,
        max_in_flight: int,
        stop: Stop,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        max_pause_s: float = 900.0,
    ):
        """Limits with no call under way.

        Args:
          max_in_flight: Calls at a time.
          stop: Ends any pause.
          sleep: Waits that many seconds; `stop.sleep` by default.
          clock: Seconds from any origin.
          max_pause_s: A server that asks for more is left to a later run.
        """
        self._slots = asyncio.Semaphore(max_in_flight)
        self._stop = stop
        self._sleep = sleep or stop.sleep
        self._clock = clock
        self._max_pause_s = max_pause_s
        self._resume_at = clock()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Held while a call is under way; waits for a free one and for any pause.

        Raises:
          StoppedError: If the run is stopping, so no call may start.
        """
        async with self._slots:
            self._stop.check()
            while (wait_s := self._resume_at - self._clock()) > 0:
                await self._sleep(wait_s)
                self._stop.check()
            yield

    def pause(self, seconds: float) -> None:
        """Lets no call start for that long.

        Raises:
          PreemptedError: If the wait is too long to sit through.
        """
        if seconds > self._max_pause_s:
            raise PreemptedError(
                f"the server asks to be left alone for {seconds:.0f} s: run the same"
                " command again after that"
            )
        resume_at = self._clock() + seconds
        if resume_at > self._resume_at + 1.0:  # not once for every call it refused
            _log.info("the server asks for a pause of %.1f s", seconds)
        self._resume_at = max(self._resume_at, resume_at)
