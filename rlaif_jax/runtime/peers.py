"""Whether the run's other processes still live; if one does not, this one ends too.

Each process writes a count into JAX's coordination service, which lives in process 0;
process 0 sees whose count stands still, and tells all. JAX has such a watch too, but
aborts the survivors without a name. It is left to be the last resort: its limit is
longer, and an abort, or a crash, is held up until this module has said what happened.
"""

import ctypes
import faulthandler
import json
import os
import select
import signal
import sys
import threading
import time
from typing import Any

import jax

from rlaif_jax.runtime import watchdog
from rlaif_jax.typing import Json

_PULSE = "rlaif/pulse"
_NEWS = "rlaif/news"
_CRASHES = [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL]
_AGAIN = "run the same command again to continue"


class PeerWatch:
    """Two threads: one talks to the coordination service, one looks at the clock.

    The talk may block for ever, in a service that is gone.
    """

    def __init__(self, client: Any, *, index: int, count: int, limit_s: float):
        """Starts to watch.

        Args:
          client: JAX's client of the coordination service.
          index: Of this process.
          count: Of processes.
          limit_s: Of silence, after which a process is gone.
        """
        self._client = client
        self._index = index
        self._count = count
        self._limit_s = limit_s
        self._tick_s = min(1.0, limit_s / 5)
        self._is_over = threading.Event()
        self._answered_at = time.monotonic()
        self._dying = _hold_deaths()
        watchdog.called(f"process-{index}", self._last_words)
        for target in (self._talk, self._look):
            name = f"rlaif-peers-{target.__name__.strip('_')}"
            threading.Thread(target=target, name=name, daemon=True).start()

    def stop(self) -> None:
        """Watches no more: the processes part in peace."""
        self._is_over.set()

    def tell(self, message: str) -> None:
        """Has the other processes end; the first who tells is believed."""
        news = json.dumps({"process": self._index, "message": message})
        try:
            self._client.key_value_set(_NEWS, news)
        except jax.errors.JaxRuntimeError:
            return  # somebody else was first, or the service is gone

    def wait_for_verdict(self) -> None:
        """Returns if no process is found to be gone; if one is, this process ends."""
        self._is_over.wait(self._limit_s + 4 * self._tick_s)

    def wait_until_heard(self) -> None:
        """Lives on until the others have heard what was told, if they hear it here."""
        time.sleep(3 * self._tick_s if self._index == 0 else 0)

    def everyone_leaves(self, *, limit_s: float) -> bool:
        """Whether all processes come here in time; all call it when they end."""
        try:
            self._client.wait_at_barrier("rlaif/leave", int(limit_s * 1000))
        except jax.errors.JaxRuntimeError:
            return False
        return True

    def _end(self, message: str) -> None:
        """Ends this process, unless the run is over."""
        if not self._is_over.is_set():
            watchdog.end_process(message)

    def _last_words(self, message: str) -> None:
        """Tells the others why this process ends, if it can be told quickly."""
        words = f"process {self._index} has ended: {message}"
        teller = threading.Thread(target=self.tell, args=(words,), daemon=True)
        teller.start()
        teller.join(2.0)
        self.wait_until_heard()

    # --- the thread that talks --------------------------------------------------

    def _talk(self) -> None:
        """Gives this process's pulse, and hears the news."""
        seen: dict[int, tuple[str, float]] = {}
        beat = 0
        while not self._is_over.is_set():
            beat += 1
            try:
                self._client.key_value_set(
                    f"{_PULSE}/{self._index}", str(beat), allow_overwrite=True
                )
                news = self._news()
                if self._index == 0 and news is None:
                    self._judge(seen)
            except jax.errors.JaxRuntimeError:
                self._is_over.wait(self._tick_s)  # the other thread counts the silence
                continue
            self._answered_at = time.monotonic()
            if news is not None and news["process"] != self._index:
                self._end(news["message"])
            self._is_over.wait(self._tick_s)

    def _news(self) -> Json | None:
        """What a process has told all others, if any has."""
        try:
            return json.loads(self._client.key_value_try_get(_NEWS))
        except jax.errors.JaxRuntimeError as error:
            if "NOT_FOUND" in str(error):
                return None
            raise

    def _judge(self, seen: dict[int, tuple[str, float]]) -> None:
        """Ends the run if a pulse stands still.

        Args:
          seen: Of each process its last pulse, and when it was new by the clock of
            this one.
        """
        now = time.monotonic()
        pulses = dict(self._client.key_value_dir_get(f"{_PULSE}/"))
        for process in range(self._count):
            pulse = pulses.get(f"{_PULSE}/{process}", "")
            if process not in seen or seen[process][0] != pulse:
                seen[process] = pulse, now
        gone = [p for p in seen if now - seen[p][1] > self._limit_s]
        if gone:
            message = f"process {', '.join(map(str, gone))} is gone: {_AGAIN}"
            self.tell(message)
            self._end(message)

    # --- the thread that looks at the clock -------------------------------------

    def _look(self) -> None:
        """Ends the process if JAX aborts it, or if process 0 has fallen silent."""
        while not self._is_over.wait(self._tick_s / 2):
            if select.select([self._dying], [], [], 0)[0]:
                self._end(self._why_dying())
            silent_s = time.monotonic() - self._answered_at
            # process 0 would have told of others by then
            if silent_s > self._limit_s + 2 * self._tick_s:
                self._end(f"process 0 has not answered for {silent_s:.0f} s: {_AGAIN}")

    def _why_dying(self) -> str:
        """Whether it crashed, or JAX aborts: as process 0 is gone, or by itself."""
        stacks = os.read(self._dying, 2**16).decode(errors="replace")
        if not stacks.startswith("Fatal Python error: Aborted"):
            print(stacks, file=sys.stderr, flush=True)
            return f"crashed in compiled code ({stacks.partition(chr(10))[0]})"
        aborted_at = time.monotonic()
        self._is_over.wait(2 * self._tick_s)
        if self._index and self._answered_at < aborted_at:
            return f"process 0 is gone: {_AGAIN}"
        return "JAX's runtime has aborted this process: its own lines above say why"


def _hold_deaths() -> int:
    """Has an abort or a crash of this process wait, so that it can be explained.

    JAX aborts at once, from a thread of its own, when process 0 is gone, and takes no
    callback for it in version 0.10.2. Here the dying thread first writes Python's
    stacks into a pipe, then calls libc's `sleep` with the signal's number as the
    seconds: 6 for an abort, 11 for a bad address. A crash waits once; then it is met
    again, and is deadly. Who crashes while it holds the interpreter's lock dies so, as
    nobody can read the pipe.

    Returns:
      A file descriptor that is readable once this process is dying.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)  # whoever dies must not wait for a reader
    libc = ctypes.CDLL(None)
    sleep = ctypes.cast(libc.sleep, ctypes.c_void_p)
    handled = [(libc.signal, [signal.SIGABRT])]
    if hasattr(libc, "sysv_signal"):  # handles one signal, and no more; not on macOS
        handled.append((libc.sysv_signal, _CRASHES))
    for handle, numbers in handled:
        handle.argtypes = [ctypes.c_int, ctypes.c_void_p]
        handle.restype = ctypes.c_void_p
        for number in numbers:
            handle(number, sleep)
    faulthandler.disable()  # else it would keep its place below `sleep`
    faulthandler.enable(writable)
    return readable
