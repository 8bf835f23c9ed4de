"""When a call may start."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from rlaif_jax import log
from rlaif_jax.errors import PreemptedError
from rlaif_jax.labeling.buckets import Bucket, Taken
from rlaif_jax.labeling.chat import Answer, RejectedError, TransientError
from rlaif_jax.labeling.circuit import Circuit
from rlaif_jax.labeling.concurrency import Concurrency
from rlaif_jax.labeling.headers import Kind, Quotas
from rlaif_jax.labeling.stop import Stop
from rlaif_jax.records import Usage

_log = log.logger(__name__)

_TELL_EVERY_S = 60.0  # of pauses that the server asks for
_NOTHING = Usage()

# what a call counts for in a rate limit of each kind
_AMOUNTS: dict[Kind, Callable[[Usage], int]] = {
    "requests": lambda usage: 1,
    "tokens": lambda usage: usage.prompt_tokens + usage.completion_tokens,
    "input-tokens": lambda usage: usage.prompt_tokens,
    "output-tokens": lambda usage: usage.completion_tokens,
}


@dataclass(frozen=True, slots=True)
class _Place:
    """What one call holds while it is under way."""

    size: Usage
    own: Mapping[Kind, Taken]
    learnt: Mapping[Kind, Taken]
    episode: int
    is_trial: bool


@dataclass(kw_only=True)
class Limits:
    """Calls to one provider: how many at a time, how fast, and when none.

    Calls start in the order in which they come, so that what is asked again takes turns
    with what is new. A provider that says when to come back means everyone: one rate
    limit holds back all calls, not only the one that met it.

    Attributes:
      concurrency: Calls at a time.
      circuit: Whether the server answers at all.
      stop: Ends any wait.
      buckets: Limits per minute that the user has set; the server's are learnt.
      sleep: Waits that many seconds; `stop.sleep` if None.
      clock: Seconds from any origin.
      max_pause_s: A server that asks for more is left to a later run.
    """

    concurrency: Concurrency
    circuit: Circuit
    stop: Stop
    buckets: Mapping[Kind, Bucket] = field(default_factory=dict)
    sleep: Callable[[float], Awaitable[None]] | None = None
    clock: Callable[[], float] = time.monotonic
    max_pause_s: float = 900.0
    _learnt: dict[Kind, Bucket] = field(default_factory=dict, init=False)
    _share: float = field(default=1.0, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _resume_at: float = field(default=-math.inf, init=False)
    _num_pauses: int = field(default=0, init=False)
    _tell_at: float = field(default=-math.inf, init=False)

    async def within(
        self, size: Usage, call: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """What `call` returns, once it may start.

        Args:
          size: The tokens that it may need; what it does not use is given back.
          call: Sends one request.

        Raises:
          StoppedError: If the run is stopping, so no call may start.
          PreemptedError: If the wait is too long to sit through, or the server is gone.
        """
        place = await self._admit(size)
        try:
            answer = await call()
        except TransientError as error:
            self._failed(place, error)
            raise
        except RejectedError:
            self.circuit.answered()
            self._settle(place, _NOTHING, {})
            raise
        else:
            self.circuit.answered()
            self.concurrency.answered(place.episode)
            self._settle(place, answer.usage or size, answer.quotas)
            return answer
        finally:
            self.concurrency.end()
            self.circuit.end(is_trial=place.is_trial)
            self._ended.set()

    def pause(self, seconds: float) -> None:
        """Lets no call start for that long.

        Raises:
          PreemptedError: If the wait is too long to sit through.
        """
        if seconds > self.max_pause_s:
            raise PreemptedError(
                f"the server asks to be left alone for {seconds:.0f} s: run the same"
                " command again after that"
            )
        resume_at = self.clock() + seconds
        if resume_at > self._resume_at + 1.0:  # not once for every call it refused
            self._num_pauses += 1
            self._tell_pause(seconds)
        self._resume_at = max(self._resume_at, resume_at)

    @property
    def pause_left_s(self) -> float:
        """Seconds until a call may start, as far as the server has asked for it."""
        return max(0.0, self._resume_at - self.clock())

    def grant(self, *, max_in_flight: int, share: float) -> None:
        """Leaves the rest of the limits to others that ask the same server.

        Args:
          max_in_flight: Calls at a time; 0 lets none start.
          share: From 0 to 1, of the limits per minute, the server's included.
        """
        self.concurrency.allow(max_in_flight)
        self._share = share
        for buckets in (self.buckets, self._learnt):
            for bucket in buckets.values():
                bucket.share(share)
        self._ended.set()  # a wait may be over

    def _tell_pause(self, seconds: float) -> None:
        """Tells of a pause, now and then."""
        if self.clock() < self._tell_at:
            return
        self._tell_at = self.clock() + _TELL_EVERY_S
        _log.info(
            "the server asks for a pause of %.1f s (number %d)",
            seconds,
            self._num_pauses,
        )

    async def _admit(self, size: Usage) -> _Place:
        """Waits for its turn, and until a call of that size may start."""
        async with self._turn:
            self.stop.check()
            while (wait_s := self._wait_s(size)) > 0:
                await self._wait(wait_s)
                self.stop.check()
            return self._begin(size)

    def _wait_s(self, size: Usage) -> float:
        """Seconds until that call may start; infinite until another has ended."""
        if self.concurrency.is_full or not self._share:
            return math.inf
        wait_s = max(self._resume_at - self.clock(), self.circuit.wait_s())
        for buckets in (self.buckets, self._learnt):
            for kind, bucket in buckets.items():
                wait_s = max(wait_s, bucket.wait_s(_AMOUNTS[kind](size)))
        if wait_s * self._share > self.max_pause_s and not self.concurrency.under_way:
            raise PreemptedError(
                f"the limits per minute let no call start for {wait_s:.0f} s: run the"
                " same command again after that, or raise requests_per_minute and"
                " tokens_per_minute if you set them"
            )
        return wait_s

    async def _wait(self, seconds: float) -> None:
        """Returns after that time, or when a call ends: that may change the wait."""
        self._ended.clear()
        if seconds == math.inf:
            await self._ended.wait()
            return
        waits = [
            asyncio.ensure_future((self.sleep or self.stop.sleep)(seconds)),
            asyncio.ensure_future(self._ended.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _begin(self, size: Usage) -> _Place:
        """Counts a call in."""
        return _Place(
            size,
            own=_taken(self.buckets, size),
            learnt=_taken(self._learnt, size),
            episode=self.concurrency.begin(),
            is_trial=self.circuit.begin(),
        )

    def _failed(self, place: _Place, error: TransientError) -> None:
        """Draws the conclusions of a call that got no usable answer."""
        used = place.size if error.may_be_billed else _NOTHING
        self._settle(place, used, error.quotas)
        if error.is_rate_limit:
            self.circuit.answered()
            self.concurrency.limited(place.episode)
        else:
            self.concurrency.failed(place.episode)
            self.circuit.failed(error, is_trial=place.is_trial)

    def _settle(self, place: _Place, used: Usage, quotas: Quotas) -> None:
        """Gives back what was taken and not used, and learns what the server told."""
        for kind, taken in place.own.items():
            self.buckets[kind].settle(taken, _AMOUNTS[kind](used))
        for kind, taken in place.learnt.items():
            self._learnt[kind].settle(taken, _AMOUNTS[kind](used))
        for kind, quota in quotas.items():
            if kind not in self._learnt:
                self._learnt[kind] = Bucket.of_server(
                    quota, share=self._share, clock=self.clock
                )
            elif kind in place.learnt:  # else it began before the limit was known
                self._learnt[kind].learn(quota, place.learnt[kind])


def _taken(buckets: Mapping[Kind, Bucket], size: Usage) -> Mapping[Kind, Taken]:
    """Takes from every bucket what a call of that size counts for there."""
    return {kind: bucket.take(_AMOUNTS[kind](size)) for kind, bucket in buckets.items()}
