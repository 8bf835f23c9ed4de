"""The lab's models, every question that reaches them, and a kill at a chosen call."""

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from rlaif_jax.lab.server import build_app
from rlaif_jax.lab.variants import variant_named
from rlaif_jax.lab.wire import request_id

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Call:
    """One question that arrived.

    Attributes:
      question: A hash of all that it says; the lab's name for the call, which a
        ledger keeps with the answer.
      answered_at: When its answer was handed to the network; None until then.
    """

    question: str
    answered_at: float | None = None


class Strike(NamedTuple):
    """What a kill met.

    Attributes:
      at: When it came.
      in_flight: Questions that had arrived, and no answer to them had left.
    """

    at: float
    in_flight: Counter[str]


@dataclass
class _Aim:
    """A kill that waits."""

    group: int
    answered: int
    later_s: float
    is_drawn: bool = False  # it comes `later_s` after the answer that it waited for
    done: Future[Strike] = field(default_factory=Future)


class CountedLab:
    """A server in a thread of this process.

    Kills are sent by the thread that answers: no answer leaves between the look at what
    is in flight and the kill.

    Attributes:
      url: Where it listens.
      calls: Every question to a model, as they arrived.
    """

    def __init__(self, variant: str, *, latency_s: float) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self._variant = variant_named(variant)
        self._latency_s = latency_s
        self._loop = asyncio.new_event_loop()
        self._aim: _Aim | None = None

    @property
    def in_flight(self) -> Counter[str]:
        """Questions that are not answered yet."""
        return Counter(c.question for c in list(self.calls) if c.answered_at is None)

    @property
    def num_answered(self) -> int:
        """Answers that were sent."""
        return sum(call.answered_at is not None for call in list(self.calls))

    @contextmanager
    def serving(self) -> Iterator["CountedLab"]:
        """Serves inside the block."""
        url: Future[str] = Future()

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._count(request, handler)

        async def start() -> str:
            app = build_app(self._variant)
            app.middlewares.append(count)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        def serve() -> None:
            starting = self._loop.create_task(start())
            starting.add_done_callback(lambda task: _pass_on(task, url))
            self._loop.run_forever()

        threading.Thread(target=serve, daemon=True).start()
        self.url = url.result()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def kill_at(self, group: int, *, answered: int, later_s: float) -> Future[Strike]:
        """Kills a process group with a call in flight.

        Args:
          group: Whose processes are killed.
          answered: Not before so many answers were sent in all.
          later_s: From then to the kill; if nothing is in flight then, it waits for the
            next call and again as long.
        """
        aim = _Aim(group, answered, later_s)

        def take() -> None:
            self._aim = aim
            self._look()

        self._loop.call_soon_threadsafe(take)
        return aim.done

    def kill_now(self, group: int) -> Strike:
        """Kills a process group, whatever is in flight."""

        async def kill() -> Strike:
            return self._kill(group)

        return asyncio.run_coroutine_threadsafe(kill(), self._loop).result()

    def withdraw(self) -> None:
        """Forgets a kill that waits."""
        self._loop.call_soon_threadsafe(setattr, self, "_aim", None)

    async def _count(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if request.method != "POST" or request.path == "/score":
            return await handler(request)
        call = Call(request_id(await request.read()))
        self.calls.append(call)
        self._look()
        draw = random.Random(call.question)
        try:
            await asyncio.sleep(self._latency_s * draw.uniform(0.5, 1.5))
            return await handler(request)
        finally:
            call.answered_at = time.monotonic()
            self._look()

    def _look(self) -> None:
        """Draws the kill that waits, if it is its time."""
        aim = self._aim
        if aim is None or aim.is_drawn or self.num_answered < aim.answered:
            return
        aim.is_drawn = True
        self._loop.call_later(aim.later_s, self._strike, aim)

    def _strike(self, aim: _Aim) -> None:
        if aim is not self._aim:
            return  # it was withdrawn
        if not self.in_flight:
            aim.is_drawn = False
            return
        self._aim = None
        aim.done.set_result(self._kill(aim.group))

    def _kill(self, group: int) -> Strike:
        strike = Strike(time.monotonic(), self.in_flight)
        os.killpg(group, signal.SIGKILL)
        return strike


def _pass_on(task: asyncio.Task[str], future: Future[str]) -> None:
    """What came of a task, for another thread."""
    if error := task.exception():
        future.set_exception(error)
    else:
        future.set_result(task.result())
