"""Many comparisons or prompts at a time, and their results in the order of the input.

The tasks are plain `asyncio` ones, not a task group's: a generator that yields from
within a task group is cancelled in its consumer's code. Here an error travels in the
future of its item and is raised where that item's turn comes, and the `finally` below
lets no task outlive the generator.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.critic import Critic
from rlaif_jax.labeling.stop import Stop, StoppedError, stop_on_signals
from rlaif_jax.labeling.teacher import Draw, Teacher
from rlaif_jax.records import Comparison, Completion, Label

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
Progress = Callable[[Accounts], None]

_WINDOW_PER_WORKER = 8  # results that may wait for a slower one before them
_DRAIN_S = 30.0  # for calls under way when the run is asked to stop


def label_all(
    comparisons: Iterable[Comparison],
    *,
    critic: Critic,
    workers: int,
    stop: Stop,
    accounts: Accounts,
    progress: Progress | None = None,
) -> AsyncGenerator[Label, None]:
    """The label of every comparison, in input order, as they come.

    Wrap it in `contextlib.aclosing` where the loop over it may be left early.

    Args:
      comparisons: Read as workers come free, so they need not fit in memory.
      critic: The model that judges.
      workers: Comparisons under way at a time.
      stop: Ends the run early; SIGINT and SIGTERM set it.
      accounts: Counts every label that was yielded.
      progress: Called after every label.

    Raises:
      PreemptedError: If stopped by a signal, with all that was paid for on disk.
      CommandError: If the critic can judge nothing more: wrong key, budget reached.
    """
    run = in_order(comparisons, critic.judge, workers=workers, stop=stop)
    return tallied(run, accounts=accounts, progress=progress)


async def tallied(
    run: AsyncGenerator[Label, None],
    *,
    accounts: Accounts,
    progress: Progress | None = None,
) -> AsyncGenerator[Label, None]:
    """Yields labels as they come, and counts them.

    Args:
      run: Closed in the end.
      accounts: Counts every label.
      progress: Called after every label.

    Raises:
      CommandError: If the counts do not add up; see `Accounts.check`.
    """
    async with contextlib.aclosing(run):
        async for label in run:
            accounts.add_label(label)
            if progress is not None:
                progress(accounts)
            yield label
    accounts.check()


async def complete_all(
    draws: Iterable[Draw],
    *,
    teacher: Teacher,
    workers: int,
    stop: Stop,
    accounts: Accounts,
    progress: Progress | None = None,
) -> AsyncGenerator[Completion, None]:
    """Yields the completion of every draw, in input order; see `label_all`.

    Draws that got no text are among them, told by their finish reason.
    """
    run = in_order(draws, teacher.complete, workers=workers, stop=stop)
    async with contextlib.aclosing(run):
        async for completion in run:
            accounts.add_completion(completion)
            if progress is not None:
                progress(accounts)
            yield completion
    accounts.check()


async def in_order(
    items: Iterable[ItemT],
    work: Callable[[ItemT], Awaitable[ResultT]],
    *,
    workers: int,
    stop: Stop,
    drain_s: float = _DRAIN_S,
) -> AsyncGenerator[ResultT, None]:
    """Yields `work(item)` for every item, in order, several at a time.

    Args:
      items: What to work on; read no further than a bounded window ahead.
      work: Done to each; raises `StoppedError` once the run is stopping.
      workers: Items under way at a time.
      stop: Set by signals, and by the first error.
      drain_s: Seconds for what is under way to end after the stop.

    Raises:
      CommandError: What stopped the run.
    """
    pool = _Pool(iter(items), work, stop, window=workers * _WINDOW_PER_WORKER)
    tasks = [asyncio.create_task(pool.labor(workers)) for _ in range(workers)]
    drain = asyncio.create_task(_drain(stop, tasks, drain_s))
    try:
        with stop_on_signals(stop):
            while (future := await pool.futures.get()) is not None:
                try:
                    result = await future
                except StoppedError:
                    pool.room.release()
                    break
                pool.room.release()
                yield result
            if stop.error is not None and not pool.is_done:
                await asyncio.wait(tasks)
                raise stop.error
    finally:
        for task in (drain, *tasks):
            task.cancel()
        await asyncio.gather(drain, *tasks, return_exceptions=True)


class _Pool(Generic[ItemT, ResultT]):
    """What the workers of one run share."""

    def __init__(
        self,
        items: Iterator[ItemT],
        work: Callable[[ItemT], Awaitable[ResultT]],
        stop: Stop,
        *,
        window: int,
    ):
        self.room = asyncio.Semaphore(window)
        self.futures: asyncio.Queue[asyncio.Future[ResultT] | None] = asyncio.Queue()
        self.is_done = False  # every item was worked on to its end
        self._items = items
        self._work = work
        self._stop = stop
        self._num_idle = 0
        self._is_exhausted = False
        self._num_stopped = 0

    async def labor(self, workers: int) -> None:
        """One worker: takes items until there are none, or the run is stopping."""
        try:
            while await self._has_room():
                await self._work_on_next()
        finally:
            self._num_idle += 1
            if self._num_idle == workers:
                self.is_done = self._is_exhausted and not self._num_stopped
                self.futures.put_nowait(None)

    async def _has_room(self) -> bool:
        """Waits for the consumer to keep up; False if no item is to be begun."""
        await self.room.acquire()
        if self._is_exhausted or self._stop.is_requested:
            self.room.release()  # the others that wait for room must end too
            return False
        return True

    async def _work_on_next(self) -> None:
        """Takes the next item and settles its future, whatever happens."""
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        try:
            try:
                item = next(self._items)
            except StopIteration:
                self._is_exhausted = True
                return
            self.futures.put_nowait(future)
            future.set_result(await self._work(item))
        except BaseException as error:
            self._num_stopped += 1
            future.set_exception(StoppedError())
            future.exception()  # its turn may never come; `stop` tells the reason
            if isinstance(error, asyncio.CancelledError):
                raise
            if not isinstance(error, StoppedError):
                self._stop.request(error)


async def _drain(stop: Stop, tasks: list["asyncio.Task[None]"], drain_s: float) -> None:
    """Ends the workers some time after the stop, or at the second signal."""
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            await stop.impatient.wait()
    for task in tasks:
        task.cancel()
