"""When a provider is asked again: after a failed call, and about a batch under way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rlaif_jax import log
from rlaif_jax.errors import PreemptedError
from rlaif_jax.labeling.chat import TransientError

T = TypeVar("T")

_NUM_TRIES = 6  # of a call
_GROWTH = 1.5  # of the time between two looks
_LONGEST = 10.0  # times the first

_log = log.logger(__name__)


class Patience:
    """Waits ever longer while nothing happens, and for a day at most."""

    def __init__(
        self,
        host: str,
        *,
        poll_s: float,
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        """Begins to wait.

        Args:
          host: The provider's, for messages.
          poll_s: Seconds between two looks.
          max_wait_s: Seconds from now, after which no further look is taken.
          clock: Seconds from any origin.
          sleep: Waits that many seconds.
        """
        self._host = host
        self._poll_s = self._delay_s = poll_s
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._sleep = sleep
        self._begun_at = clock()

    async def tried(
        self, call: Callable[[], Awaitable[T]], *, is_repeatable: bool = True
    ) -> T:
        """What a call returns, tried several times.

        Args:
          call: Made anew for each try.
          is_repeatable: Whether it may be tried again although it may have done its
            work; else only after a refusal for the sake of a rate limit.

        Raises:
          TransientError: If it may have done its work, and must not be repeated.
          PreemptedError: If it fails every time.
        """
        number = 1
        while True:
            try:
                return await call()
            except TransientError as error:
                if not (is_repeatable or error.is_rate_limit):
                    raise
                if number == _NUM_TRIES:
                    raise PreemptedError(
                        f"{error}: run the same command again to go on"
                    ) from error
                _log.warning("try %d of %d: %s", number, _NUM_TRIES, error)
                own_s = min(self._poll_s, 2.0**number)
                delay_s = max(own_s, error.retry_after_s or 0.0)
            number += 1
            await self._sleep(delay_s)

    async def wait(self, num_batches: int) -> None:
        """Waits until it is time to look at the batches again.

        Raises:
          PreemptedError: If they have been waited for long enough.
        """
        left_s = self._max_wait_s - (self._clock() - self._begun_at)
        if left_s <= 0:
            raise PreemptedError(
                f"{num_batches} batches at {self._host} have not ended within"
                f" batch.max_wait_s={self._max_wait_s:g}: they go on there; run the"
                " same command again to read them"
            )
        await self._sleep(min(self._delay_s, left_s))
        self._delay_s = min(_GROWTH * self._delay_s, _LONGEST * self._poll_s)

    def begin_again(self) -> None:
        """Something has happened: looks soon again."""
        self._delay_s = self._poll_s

    def hold_back(self, seconds: float) -> None:
        """The provider asks to be left alone for that long."""
        self._delay_s = max(self._delay_s, seconds)
