"""What ties a task to the governor: its money, its limits, and its ledger's flushes."""

import asyncio
import contextlib
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Sequence,
)
from dataclasses import dataclass, field, replace

from rlaif_jax.errors import CommandError, PreemptedError, RefusedError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.attempts import BlockLedger
from rlaif_jax.labeling.budget import Budget
from rlaif_jax.labeling.governor import (
    SILENT_S,
    Orders,
    Report,
    SeatOrders,
    SeatReport,
)

_EVERY_S = 0.5  # between reports
_FLUSH_EVERY_S = 1.0  # or sooner, if much is waiting
_AHEAD = 2.0  # calls of the largest price that a lease is to last for, per slot
_NOTHING = SeatOrders(slots=0, share=0.0)
_LATE_S = 0.25  # of a pause that the governor told: the wire's, not the server's


class LeasedBudget(Budget):
    """A budget that begins with nothing and is raised by the governor.

    Attributes:
      is_short: Set when a call waits for money.
      need_usd: Of the most expensive call that waits; 0 if none does.
      most_usd: Of the most expensive call so far.
    """

    def __init__(self, *, of_usd: float):
        """A budget without money.

        Args:
          of_usd: What all tasks may spend together, for messages.
        """
        super().__init__(limit_usd=0.0)
        self.is_short = asyncio.Event()
        self.need_usd = 0.0
        self.most_usd = 0.0
        self._of_usd = of_usd
        self._leased_usd = 0.0
        self._is_exhausted = False

    @property
    def leased_usd(self) -> float:
        """The most that may be spent here."""
        return self._leased_usd

    def raise_to(self, usd: float) -> None:
        """Lets so much be spent; calls that wait look again."""
        self._leased_usd = self._limit_usd = usd
        self.need_usd = 0.0
        self.is_short.clear()
        self._settled.set()

    def give_back(self) -> None:
        """Keeps no more than what is spent and reserved."""
        self._leased_usd = self._limit_usd = self.spent_usd + self._reserved_usd

    def exhaust(self) -> None:
        """Lets every call that waits for money fail."""
        self._is_exhausted = True
        self.is_short.clear()
        self._settled.set()

    def _short_of(self, at_most_usd: float) -> None:
        if self._is_exhausted:
            raise RefusedError(
                f"budget reached: ${self._of_usd:.6f} are spent, or may be, by all"
                f" tasks together, and the next call may cost ${at_most_usd:.6f};"
                " raise budget_usd to go on"
            )
        self.need_usd = max(self.need_usd, at_most_usd)
        self.most_usd = max(self.most_usd, at_most_usd)
        self.is_short.set()


@dataclass(kw_only=True)
class Tether:
    """Reports to the governor, and does what it orders.

    Attributes:
      block: What the task works on.
      attempt: Which attempt at it this is.
      askers: One for each endpoint; they share a stop.
      budget: What the task may spend; leased, if there is a limit.
      ledger: Keeps what the task pays for.
      backlog: Comparisons without a label.
      report: Tells the governor, and returns its orders.
      clock: Seconds from any origin.
    """

    block: int
    attempt: str
    askers: Sequence[Asker]
    budget: Budget
    ledger: BlockLedger
    backlog: Callable[[], int]
    report: Callable[[Report], Awaitable[Orders]]
    clock: Callable[[], float] = time.monotonic
    _acting: list[SeatOrders] = field(default_factory=list, init=False)
    _is_tight: bool = field(default=False, init=False)
    _is_over: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._heard_at = self.clock()
        self._act([_NOTHING] * len(self.askers))

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keeps in touch while it is open, and the ledger flushed."""
        loops = (self._keep_in_touch(), self._keep_flushed(), self._keep_guard())
        tasks = [asyncio.create_task(self._kept(loop)) for loop in loops]
        try:
            yield
        finally:
            self._is_over.set()  # cancelled, one might lose what it is flushing
            await asyncio.gather(*tasks)

    async def sync(self) -> None:
        """Reports once, and obeys; an answer that took long is no longer true."""
        sent_at = self.clock()
        orders = await self.report(self._report())
        if self.clock() - sent_at > SILENT_S:
            return
        self._heard_at = sent_at
        if orders.stop:
            self._stop(PreemptedError(orders.stop))
            return
        self._act(orders.seats)
        if isinstance(self.budget, LeasedBudget):
            await self._obey_money(self.budget, orders)

    async def _kept(self, loop: Coroutine[None, None, None]) -> None:
        """Runs one of the loops; if it cannot go on, the task's work ends."""
        try:
            await loop
        except CommandError as error:
            self._stop(error)

    async def _keep_in_touch(self) -> None:
        """Reports again and again, and at once if a call waits for money."""
        while not self._is_over.is_set():
            await self.sync()
            if isinstance(self.budget, LeasedBudget) and not self._is_tight:
                await self._first_of(self.budget.is_short)
            else:
                await self._first_of()

    async def _keep_flushed(self) -> None:
        """Brings the ledger where it outlives this machine."""
        while not self._is_over.is_set():
            await self._first_of(self.ledger.is_full, within_s=_FLUSH_EVERY_S)
            await self.ledger.flush()

    async def _keep_guard(self) -> None:
        """Begins nothing more while the governor is silent."""
        while not self._is_over.is_set():
            await self._first_of()
            if self.clock() - self._heard_at > SILENT_S:
                self._act([_NOTHING] * len(self.askers))

    async def _first_of(
        self, *events: asyncio.Event, within_s: float = _EVERY_S
    ) -> None:
        """Returns at one of these events, at the end, or after that time."""
        waits = [asyncio.create_task(one.wait()) for one in (self._is_over, *events)]
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def _act(self, seats: Sequence[SeatOrders]) -> None:
        """Does what was ordered for each endpoint."""
        self._acting = [*seats]
        for asker, seat in zip(self.askers, seats, strict=True):
            asker.limits.grant(max_in_flight=seat.slots, share=seat.share)
            if seat.pause_s > asker.limits.pause_left_s:
                asker.limits.pause(seat.pause_s)

    async def _obey_money(self, budget: LeasedBudget, orders: Orders) -> None:
        """Takes more money once that is written down, or learns that there is none."""
        self._is_tight = orders.is_tight
        if orders.is_exhausted:
            budget.exhaust()
        if orders.leased_usd > budget.leased_usd:
            await self.ledger.lease(orders.leased_usd)
            budget.raise_to(orders.leased_usd)

    def _report(self) -> Report:
        """How this task stands."""
        seats = tuple(
            SeatReport(
                under_way=asker.limits.concurrency.under_way,
                slots=acting.slots,
                share=acting.share,
                pause_s=_asked_s(asker.limits.pause_left_s, told_s=acting.pause_s),
            )
            for asker, acting in zip(self.askers, self._acting, strict=True)
        )
        if isinstance(self.budget, LeasedBudget) and self._is_tight:
            self.budget.give_back()
        stand = Report(
            block=self.block,
            attempt=self.attempt,
            backlog=self.backlog(),
            seats=seats,
            spent_usd=self.budget.spent_usd,
            reserved_usd=self.budget.reserved_usd,
        )
        if not isinstance(self.budget, LeasedBudget):
            return stand
        return self._with_money(stand, self.budget)

    def _with_money(self, stand: Report, budget: LeasedBudget) -> Report:
        """The report of a task whose money is leased."""
        ahead_usd = _AHEAD * sum(one.slots for one in self._acting) * budget.most_usd
        left_usd = budget.leased_usd - budget.spent_usd - budget.reserved_usd
        return replace(
            stand,
            leased_usd=budget.leased_usd,
            need_usd=budget.need_usd,
            want_usd=max(budget.need_usd, ahead_usd - left_usd),
        )

    def _stop(self, error: CommandError) -> None:
        """Begins nothing more; what waits for money or a slot learns of it."""
        self.askers[0].stop.request(error)
        if isinstance(self.budget, LeasedBudget):
            self.budget.exhaust()
        self._act([replace(one, pause_s=0.0) for one in self._acting])


def _asked_s(left_s: float, *, told_s: float) -> float:
    """The pause that a server has asked this task for, if the governor knows less."""
    return left_s if left_s > told_s + _LATE_S else 0.0
