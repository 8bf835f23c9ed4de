"""Ends a process that stands still, with the stacks of all its threads.

A thread of its own looks at the clock, so it works though the main thread sits in a
collective that never returns.
"""

import contextlib
import faulthandler
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rlaif_jax import log

_log = log.logger(__name__)

EXIT_CODE = 70
_EVERY_S = 0.5


class _Clock:
    """What this process did last, and how long it may take for the next.

    Attributes:
      limit_s: Of standing still; None while nobody watches.
      folder: Where stacks are written.
      name: Of this process, in the names of files and in messages.
      what: Was begun last.
      since: When, by the monotonic clock.
      before_end: Called with the message before the process ends.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """A clock on which nothing is due.

        Args:
          now: Seconds from some moment on, which never go back.
        """
        self.limit_s: float | None = None
        self.folder: Path | None = None
        self.name = "process-0"
        self.what = ""
        self.since = 0.0
        self.before_end: Callable[[str], None] = lambda message: None
        self.thread: threading.Thread | None = None
        self.ending = threading.Lock()
        self._now = now

    def moved(self, what: str) -> None:
        """Begins to measure anew."""
        self.what, self.since = what, self._now()

    def overdue(self) -> str | None:
        """The message, if nothing has moved for too long."""
        limit_s, what, since = self.limit_s, self.what, self.since
        if limit_s is None or self._now() - since <= limit_s:
            return None
        return (
            f"nothing has moved for {limit_s:g} s since {what}: see the stacks; run"
            " the same command again to continue, with a larger pod.hang_s if it"
            " was only slow"
        )


_clock = _Clock()


@contextlib.contextmanager
def armed(limit_s: float | None, folder: Path) -> Iterator[None]:
    """While open, standing still for so long ends the process with exit code 70.

    Args:
      limit_s: Between two calls of `moved`; None: any time.
      folder: The run's, which gets the stacks.
    """
    before = _clock.limit_s, _clock.folder
    moved("the start")
    _clock.limit_s, _clock.folder = limit_s, folder
    if limit_s is not None and _clock.thread is None:
        _clock.thread = threading.Thread(
            target=_watch, name="rlaif-watchdog", daemon=True
        )
        _clock.thread.start()
    try:
        yield
    finally:
        _clock.limit_s, _clock.folder = before


def moved(what: str) -> None:
    """Notes that something begins, and that what was before it is done.

    Args:
      what: For the message, if it is not done in time: "step 3".
    """
    _clock.moved(what)


def called(name: str, before_end: Callable[[str], None]) -> None:
    """Gives this process a name among others, which are told of its end."""
    _clock.name, _clock.before_end = name, before_end


def end_process(message: str) -> None:
    """Writes all stacks to stderr and into the run's folder; ends with exit code 70.

    Nothing of Python is run down: the main thread may never come back.

    Args:
      message: Why, for people.
    """
    if not _clock.ending.acquire(blocking=False):
        time.sleep(60)  # another thread is about to end this process
    print(f"rlaif-jax: {message}", file=sys.stderr)
    print(f"the stacks of {_clock.name}:", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ValueError):
        faulthandler.dump_traceback(sys.__stderr__ or 2)
    with contextlib.suppress(OSError):
        path = _write_stacks(message)
        if path is not None:
            print(f"rlaif-jax: {message} (stacks in {path})", file=sys.stderr)
    _clock.before_end(message)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(EXIT_CODE)


def _write_stacks(message: str) -> Path | None:
    if _clock.folder is None:
        return None
    path = _clock.folder / "stacks" / f"{_clock.name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        at = time.strftime("%Y-%m-%d %H:%M:%S %z")
        file.write(f"{at} {socket.gethostname()} {_clock.name}: {message}\n\n")
        file.flush()
        faulthandler.dump_traceback(file)
        file.flush()
        os.fsync(file.fileno())
    return path


def _watch() -> None:
    """Ends the process once it has stood still for too long."""
    while True:
        time.sleep(_EVERY_S)
        message = _clock.overdue()
        if message is not None:
            end_process(message)
