"""Being asked to stop, and stopping without losing what is under way."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator

from rlaif_jax.errors import CommandError, PreemptedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """The run is stopping, so this work was not begun; it is not lost either."""


class Stop:
    """One flag for all that work on a run: begin nothing more.

    Attributes:
      error: Why; None as long as the run goes on.
      impatient: Set at the second signal: do not wait for what is under way.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.impatient = asyncio.Event()
        self._requested = asyncio.Event()

    @property
    def is_requested(self) -> bool:
        """Whether the run is stopping."""
        return self.error is not None

    def request(self, error: BaseException) -> None:
        """Begins the stop; of several reasons the first one is kept."""
        if self.error is None:
            self.error = error
        self._requested.set()

    def interrupt(self, error: CommandError) -> None:
        """Begins the stop because of a signal; the second one ends the waiting too."""
        if self.is_requested:
            self.impatient.set()
        self.request(error)

    def check(self) -> None:
        """Raises `StoppedError` if the run is stopping."""
        if self.error is not None:
            raise StoppedError

    async def wait(self) -> None:
        """Returns once the run is stopping."""
        await self._requested.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleeps that long, or until the run is stopping."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()


@contextlib.contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Turns SIGINT and SIGTERM into a request to stop, while it is open.

    Off the main thread, where Python delivers no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.interrupt, _preempted(number))
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, previous[number] or signal.SIG_DFL)


def _preempted(number: signal.Signals) -> CommandError:
    """The error that a signal ends the run with."""
    return PreemptedError(
        f"stopped by {number.name}: run the same command again to go on"
    )
