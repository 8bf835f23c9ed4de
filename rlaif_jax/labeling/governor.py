"""What tasks on many machines may spend and ask together, divided among them.

Every task tells twice a second how it stands and is told what it may do. Whatever it
has been told stays counted as used until it says that it acts on less, so the sum of
all never passes a limit, whichever messages or machines are lost. A task that is cut
off begins nothing more after `SILENT_S`; some time later its slots go to others, and
its money counts as spent.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

SILENT_S = 4.0  # without an answer: a task begins nothing more until it has one
_LOST_S = 10.0  # without a report: a task is lost; much more than SILENT_S
_SETTLING_S = 3.0  # for tasks to make themselves known to a governor that came later


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatReport:
    """How a task stands with one endpoint.

    Attributes:
      under_way: Calls.
      slots: Calls at a time that it acts on.
      share: Of the limits per minute that it acts on.
      pause_s: For which its server has just asked to be left alone; 0: it has not.
    """

    under_way: int = 0
    slots: int = 0
    share: float = 0.0
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a task stands.

    Attributes:
      block: What it works on.
      attempt: Which attempt at it this is.
      backlog: Comparisons without a label.
      seats: One for each endpoint.
      spent_usd: Settled.
      reserved_usd: For calls under way.
      leased_usd: The most that it will spend in all, unless it is told of more.
      need_usd: What a call waits for; 0 if none does.
      want_usd: What would keep it busy for a while, at least `need_usd`.
    """

    block: int
    attempt: str
    backlog: int
    seats: tuple[SeatReport, ...]
    spent_usd: float = 0.0
    reserved_usd: float = 0.0
    leased_usd: float = 0.0
    need_usd: float = 0.0
    want_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatOrders:
    """What a task may do with one endpoint.

    Attributes:
      slots: Calls at a time.
      share: Of the limits per minute.
      pause_s: Before which it may begin none.
    """

    slots: int
    share: float
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a task may do.

    Attributes:
      seats: One for each endpoint.
      leased_usd: The most that it may spend in all.
      is_tight: Money is short: it must keep none that it does not need now.
      is_exhausted: What it needs will never be there.
      stop: Why it must begin nothing more; empty if it may go on.
    """

    seats: tuple[SeatOrders, ...]
    leased_usd: float = 0.0
    is_tight: bool = False
    is_exhausted: bool = False
    stop: str = ""


@dataclass(slots=True)
class _Seat:
    """What one endpoint takes from all tasks together."""

    max_in_flight: int
    resume_at: float = -math.inf


@dataclass(kw_only=True)
class Governor:
    """Divides a budget and the limits of endpoints among the tasks that are alive.

    Attributes:
      budget_usd: What may be spent in all; None: no limit.
      max_in_flight: Calls at a time, of each endpoint.
      spent_usd: By attempt, what those before this governor have spent at most.
      is_late: Whether tasks that it does not know may be at work already.
      clock: Seconds from any origin.
    """

    budget_usd: float | None
    max_in_flight: Sequence[int]
    spent_usd: Mapping[str, float] = field(default_factory=dict)
    is_late: bool = False
    clock: Callable[[], float] = time.monotonic
    _live: dict[str, Report] = field(default_factory=dict, init=False)
    _newest: dict[int, str] = field(default_factory=dict, init=False)
    _heard_at: dict[str, float] = field(default_factory=dict, init=False)
    _stop: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._past = dict(self.spent_usd)  # of attempts that are over
        self._seats = [_Seat(limit) for limit in self.max_in_flight]
        self._grants_from = self.clock() + (_SETTLING_S if self.is_late else 0.0)

    @property
    def committed_usd(self) -> float:
        """What was spent at most, and what may still be spent of what was told."""
        live = [report.leased_usd for report in self._live.values()]
        return sum(self._past.values()) + sum(live)

    @property
    def settled_usd(self) -> float:
        """What was spent, as far as it is known; of lost attempts, at most."""
        live = [report.spent_usd for report in self._live.values()]
        return sum(self._past.values()) + sum(live)

    def sync(self, report: Report) -> Orders:
        """What a task may do from now on."""
        self._count_lost_out()
        if self._stop or not self._admit(report):
            return self._nothing(report)
        self._note_pauses(report)
        leased_usd, is_tight, is_exhausted = self._lease(report)
        orders = Orders(
            seats=tuple(self._seat_orders(n, report) for n in range(len(self._seats))),
            leased_usd=leased_usd,
            is_tight=is_tight,
            is_exhausted=is_exhausted,
        )
        self._live[report.attempt] = _acting_on(report, orders)
        return orders

    def close(self, attempt: str, spent_usd: float) -> None:
        """Counts an attempt out that is over, with what it has spent in the end."""
        self._live.pop(attempt, None)
        self._heard_at.pop(attempt, None)
        self._past[attempt] = spent_usd

    def stop(self, why: str) -> None:
        """Lets no task begin anything more."""
        self._stop = self._stop or why

    def _count_lost_out(self) -> None:
        """Takes back what tasks hold that are silent; one may report again later."""
        for attempt, heard_at in list(self._heard_at.items()):
            if self.clock() - heard_at > _LOST_S:
                self.close(attempt, self._live[attempt].leased_usd)

    def _admit(self, report: Report) -> bool:
        """Counts a task in; False if a later attempt at its block has taken over."""
        if report.attempt < self._newest.get(report.block, ""):
            return False
        self._newest[report.block] = report.attempt
        if report.attempt not in self._live:
            others = [one for one in self._live.values() if one.block == report.block]
            for other in others:  # lost, or cut off: it may spend what it was told
                self.close(other.attempt, other.leased_usd)
            self._past.pop(report.attempt, None)  # its lease, read from its log
        self._live[report.attempt] = report
        self._heard_at[report.attempt] = self.clock()
        return True

    def _nothing(self, report: Report) -> Orders:
        """The orders of a task that must end; it keeps the money of calls under way."""
        why = self._stop or f"another attempt at block {report.block} has taken over"
        none = SeatOrders(slots=0, share=0.0)
        return Orders(
            seats=(none,) * len(self._seats), leased_usd=report.leased_usd, stop=why
        )

    def _note_pauses(self, report: Report) -> None:
        for seat, told in zip(self._seats, report.seats, strict=True):
            if told.pause_s > 0:
                seat.resume_at = max(seat.resume_at, self.clock() + told.pause_s)

    def _lease(self, report: Report) -> tuple[float, bool, bool]:
        """The most that a task may spend; whether money is short, and used up."""
        if self.budget_usd is None:
            return 0.0, False, False
        if self.clock() < self._grants_from:
            return report.leased_usd, True, False
        free_usd = self.budget_usd - self.committed_usd
        needs = report.need_usd
        if free_usd >= needs:
            fair_usd = free_usd / (2 * len(self._live))
            more = max(needs, min(report.want_usd, fair_usd))
            return report.leased_usd + more, self._is_tight(), False
        return report.leased_usd, True, not self._can_be_freed()

    def _is_tight(self) -> bool:
        """Whether somebody waits for money."""
        free_usd = (self.budget_usd or 0.0) - self.committed_usd
        return any(one.need_usd > free_usd for one in self._live.values())

    def _can_be_freed(self) -> bool:
        """Whether any task holds money that it may not need in the end."""
        return any(one.leased_usd > one.spent_usd for one in self._live.values())

    def _seat_orders(self, number: int, report: Report) -> SeatOrders:
        """What a task may do with one endpoint."""
        seat, own = self._seats[number], report.seats[number]
        others = [
            one.seats[number]
            for attempt, one in self._live.items()
            if attempt != report.attempt
        ]
        wanted = divided(
            seat.max_in_flight, {k: v.backlog for k, v in self._live.items()}
        )
        taken = sum(max(one.slots, one.under_way) for one in others)
        slots = min(wanted[report.attempt], max(0, seat.max_in_flight - taken))
        due = wanted[report.attempt] / max(1, sum(wanted.values()))
        share = min(due, max(0.0, 1.0 - sum(one.share for one in others)))
        if self.clock() < self._grants_from:
            slots, share = min(slots, own.slots), min(share, own.share)
        pause_s = max(0.0, seat.resume_at - self.clock())
        if not slots or not share:  # the one without the other is of no use
            return SeatOrders(slots=0, share=0.0, pause_s=pause_s)
        return SeatOrders(slots=slots, share=share, pause_s=pause_s)


def divided(total: int, wants: Mapping[str, int]) -> dict[str, int]:
    """Shares of a total, as equal as they can be with none above what is wanted.

    Args:
      total: What there is.
      wants: Who wants how much; where a total does not divide, the first get one more.
    """
    shares = dict.fromkeys(wants, 0)
    left = total
    for place, name in enumerate(sorted(wants, key=lambda one: wants[one])):
        num_others = len(wants) - place
        shares[name] = min(wants[name], -(-left // num_others))
        left -= shares[name]
    return shares


def _acting_on(report: Report, orders: Orders) -> Report:
    """What to count for a task from now on: the more of what it does and is told."""
    seats = tuple(
        SeatReport(
            under_way=max(told.under_way, told.slots),
            slots=order.slots,
            share=max(told.share, order.share),
        )
        for told, order in zip(report.seats, orders.seats, strict=True)
    )
    is_given = orders.leased_usd > report.leased_usd
    return replace(
        report,
        seats=seats,
        leased_usd=max(report.leased_usd, orders.leased_usd),
        need_usd=0.0 if is_given else report.need_usd,
    )
