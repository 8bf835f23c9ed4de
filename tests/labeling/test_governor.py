"""Tests of dividing a budget and limits among tasks."""

import random

import pytest

from rlaif_jax.labeling.governor import Governor, Report, SeatReport, divided


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def governor(budget_usd=None, max_in_flight=(10,), **fields):
    fields.setdefault("clock", Clock())
    return Governor(budget_usd=budget_usd, max_in_flight=max_in_flight, **fields)


def report(block=0, attempt="0000-a", backlog=100, seat=None, **money):
    seats = (SeatReport(**(seat or {})),)
    return Report(block=block, attempt=attempt, backlog=backlog, seats=seats, **money)


def acting_on(orders, **fields):
    seat = orders.seats[0]
    told = {"slots": seat.slots, "share": seat.share, "under_way": seat.slots}
    return report(seat=told, leased_usd=orders.leased_usd, **fields)


@pytest.mark.parametrize(
    ("total", "wants", "shares"),
    [
        (10, {"a": 100, "b": 100}, {"a": 5, "b": 5}),
        (5, {"a": 100, "b": 100}, {"a": 3, "b": 2}),
        (10, {"a": 1, "b": 100, "c": 100}, {"a": 1, "b": 5, "c": 4}),
        (2, {"a": 9, "b": 9, "c": 9}, {"a": 1, "b": 1, "c": 0}),
        (10, {"a": 0, "b": 3}, {"a": 0, "b": 3}),
        (10, {}, {}),
    ],
)
def test_a_total_is_divided_as_equally_as_it_is_wanted(total, wants, shares):
    assert divided(total, wants) == shares


def test_a_task_alone_may_do_all():
    seat = governor().sync(report()).seats[0]
    assert (seat.slots, seat.share) == (10, 1.0)


def test_a_second_task_waits_until_the_first_acts_on_less():
    one = governor()
    first = one.sync(report(block=0, attempt="0000-a"))
    second = one.sync(report(block=1, attempt="0000-b"))
    assert (second.seats[0].slots, second.seats[0].share) == (0, 0.0)
    first = one.sync(acting_on(first, block=0, attempt="0000-a"))
    assert (first.seats[0].slots, first.seats[0].share) == (5, 0.5)
    # it has been told, but its calls above 5 may still be under way
    assert one.sync(acting_on(second, block=1, attempt="0000-b")).seats[0].slots == 0
    one.sync(acting_on(first, block=0, attempt="0000-a"))
    second = one.sync(acting_on(second, block=1, attempt="0000-b"))
    assert (second.seats[0].slots, second.seats[0].share) == (5, 0.5)


def test_what_a_task_had_is_free_when_it_ends():
    one = governor()
    one.sync(report(block=0, attempt="0000-a"))
    one.sync(report(block=1, attempt="0000-b"))
    one.close("0000-a", 0.0)
    assert one.sync(report(block=1, attempt="0000-b")).seats[0].slots == 10


def test_a_later_attempt_at_a_block_replaces_the_lost_one():
    one = governor(budget_usd=10.0)
    lost = one.sync(report(attempt="0000-a", need_usd=1.0, want_usd=4.0))
    assert lost.leased_usd == 4.0
    retry = one.sync(report(attempt="0001-b", need_usd=1.0, want_usd=1.0))
    assert retry.seats[0].slots == 10
    assert one.committed_usd == 5.0  # the lost one may have spent its lease
    zombie = one.sync(acting_on(lost, attempt="0000-a", need_usd=1.0))
    assert "taken over" in zombie.stop
    assert one.committed_usd == 5.0


def test_money_is_leased_and_never_more_than_there_is():
    one = governor(budget_usd=1.0)
    first = one.sync(report(block=0, attempt="0000-a", need_usd=0.1, want_usd=9.0))
    assert first.leased_usd == 0.5  # half of what is free: others may come
    second = one.sync(report(block=1, attempt="0000-b", need_usd=0.1, want_usd=9.0))
    assert second.leased_usd == 0.125
    third = one.sync(report(block=2, attempt="0000-c", need_usd=0.4, want_usd=0.4))
    assert (third.leased_usd, third.is_tight, third.is_exhausted) == (0.0, True, False)


def test_money_that_is_given_back_goes_to_who_needs_it():
    one = governor(budget_usd=1.0)
    one.sync(report(block=0, attempt="0000-a", need_usd=0.1, want_usd=9.0))
    short = report(block=1, attempt="0000-b", need_usd=0.7, want_usd=0.7)
    assert one.sync(short).is_tight
    rest = one.sync(report(block=0, attempt="0000-a", spent_usd=0.2, leased_usd=0.5))
    assert rest.is_tight  # so it gives back what it does not need
    one.sync(report(block=0, attempt="0000-a", spent_usd=0.2, leased_usd=0.2))
    assert one.sync(short).leased_usd == 0.7


def test_a_budget_is_exhausted_once_nobody_holds_any():
    one = governor(budget_usd=1.0)
    one.sync(report(block=0, attempt="0000-a", need_usd=0.8, want_usd=0.8))
    short = report(block=1, attempt="0000-b", need_usd=0.3, want_usd=0.3)
    assert not one.sync(short).is_exhausted  # the first may settle for less
    one.close("0000-a", 0.8)
    assert one.sync(short).is_exhausted


def test_pauses_are_everyones():
    clock = Clock()
    one = governor(clock=clock)
    one.sync(report(block=0, attempt="0000-a", seat={"pause_s": 7.0}))
    clock.now += 2.0
    orders = one.sync(report(block=1, attempt="0000-b"))
    assert orders.seats[0].pause_s == 5.0


def test_a_stop_is_told_to_all():
    one = governor()
    one.stop("stopped by SIGTERM")
    one.stop("later")
    assert one.sync(report()).stop == "stopped by SIGTERM"


def test_a_late_governor_adopts_before_it_grants():
    clock = Clock()
    spent = {"": 1.0, "0000-a": 3.0, "0000-x": 2.0}
    late = governor(budget_usd=10.0, spent_usd=spent, is_late=True, clock=clock)
    assert late.committed_usd == 6.0
    new = late.sync(report(block=1, attempt="0000-b", need_usd=1.0, want_usd=1.0))
    assert (new.seats[0].slots, new.leased_usd) == (0, 0.0)
    seat = {"slots": 8, "share": 0.8, "under_way": 8}
    old = report(attempt="0000-a", seat=seat, leased_usd=3.0, spent_usd=2.5)
    assert late.sync(old).seats[0].slots == 5
    assert late.committed_usd == 6.0  # its lease is not counted twice
    clock.now += 3.0
    new = late.sync(report(block=1, attempt="0000-b", need_usd=1.0, want_usd=1.0))
    assert (new.seats[0].slots, new.leased_usd) == (2, 1.0)


def test_what_a_silent_task_held_goes_to_others_and_its_money_is_spent():
    clock = Clock()
    one = governor(budget_usd=10.0, clock=clock)
    lost = one.sync(report(block=0, attempt="0000-a", need_usd=1.0, want_usd=4.0))
    waiting = report(block=1, attempt="0000-b")
    assert one.sync(waiting).seats[0].slots == 0
    for _ in range(5):
        clock.now += 2.5
        orders = one.sync(waiting)
    assert orders.seats[0].slots == 10
    assert one.committed_usd == 4.0
    # it was only cut off: until it is heard again it has begun nothing more
    back = one.sync(report(block=0, attempt="0000-a", leased_usd=lost.leased_usd))
    assert (back.seats[0].slots, one.committed_usd) == (0, 4.0)


def test_two_endpoints_have_limits_of_their_own():
    one = governor(max_in_flight=(10, 3))
    two = Report(block=0, attempt="0000-a", backlog=9, seats=(SeatReport(),) * 2)
    assert [seat.slots for seat in one.sync(two).seats] == [9, 3]


class Task:
    """Acts on orders as a task does, and may lose a message or its node."""

    def __init__(self, block, number, draw):
        self.block, self.draw = block, draw
        self.attempt = f"{number:04d}-{block}"
        self.slots = self.under_way = 0
        self.share = self.leased = self.spent = 0.0
        self.backlog = 30

    def work(self, price):
        while self.under_way < self.slots and self.spent + price <= self.leased:
            self.spent += price * self.draw.random()
            self.under_way += 1
        ended = self.draw.randint(0, self.under_way)
        self.under_way -= ended
        self.backlog = max(0, self.backlog - ended)

    def report(self, price):
        seat = SeatReport(under_way=self.under_way, slots=self.slots, share=self.share)
        return Report(
            block=self.block,
            attempt=self.attempt,
            backlog=self.backlog,
            seats=(seat,),
            spent_usd=self.spent,
            leased_usd=self.leased,
            need_usd=price if self.leased - self.spent < price else 0.0,
            want_usd=5 * price,
        )

    def obey(self, orders):
        if not orders.stop:
            self.slots, self.share = orders.seats[0].slots, orders.seats[0].share
            self.leased = max(self.leased, orders.leased_usd)


@pytest.mark.parametrize("seed", range(5))
def test_no_limit_is_passed_whatever_is_lost(seed):
    draw = random.Random(seed)
    one = governor(budget_usd=3.0, max_in_flight=(12,))
    tasks = [Task(block, 0, draw) for block in range(5)]
    gone = []  # lost nodes; some of them go on for a while
    number = 0
    for _ in range(400):
        task = draw.choice(tasks)
        orders = one.sync(task.report(0.05))
        if draw.random() < 0.9:  # else the answer is lost
            task.obey(orders)
        for each in [*tasks, *gone]:
            each.work(0.05)
        alive = [each for each in tasks if each.backlog]
        assert sum(each.under_way for each in tasks) <= 12
        assert sum(each.share for each in tasks) <= 1.0 + 1e-9
        everyone = [*tasks, *gone]
        assert sum(each.spent for each in everyone) <= 3.0 + 1e-9
        if alive and draw.random() < 0.02:
            number += 1
            lost = draw.choice(tasks)
            lost.slots = lost.under_way = 0  # its calls are gone with it
            lost.share = 0.0
            tasks.remove(lost)
            gone.append(lost)
            tasks.append(Task(lost.block, number, draw))
