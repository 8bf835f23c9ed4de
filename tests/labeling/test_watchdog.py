"""Tests of `rlaif_jax.labeling.watchdog`: no real time."""

import contextlib
import logging

import pytest

from rlaif_jax.labeling.watchdog import Watchdog

pytestmark = pytest.mark.anyio


class EnoughError(Exception):
    """Ends a watch that would go on."""


class Time:
    """A clock that only sleeping moves; what is to happen at a time happens then."""

    def __init__(self, until):
        self.now = 0.0
        self.until = until
        self.events = {}

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        end = self.now + seconds
        for at in sorted(at for at in self.events if at <= end):
            self.now = at
            self.events.pop(at)()
        self.now = end
        if self.now >= self.until:
            raise EnoughError


@pytest.fixture
def watch(caplog):
    """Runs a watchdog that names calls of a minute; returns what it said."""
    caplog.set_level(logging.INFO)

    async def run(time, happens):
        watchdog = Watchdog("judge", after_s=60.0, sleep=time.sleep, clock=time.clock)
        with contextlib.ExitStack() as calls:
            happens(lambda name: calls.enter_context(watchdog.watched(name)))
            with pytest.raises(EnoughError):
                await watchdog.watch()
        return [record.getMessage() for record in caplog.records]

    return run


async def test_the_oldest_call_is_named_ever_less_often(watch):
    def happens(begin):
        begin("pair:1")
        begin("pair:2")

    told = await watch(Time(until=1000.0), happens)
    # after 60 s, then 120, 240 and 480 s later; the next would be at 1860 s
    assert [line.rpartition("for ")[2] for line in told] == [
        "60 s",
        "180 s",
        "420 s",
        "900 s",
    ]
    assert told[0].startswith("calls to judge under way: 2; the oldest, about pair:1,")


async def test_calls_that_end_in_time_are_not_named(caplog):
    caplog.set_level(logging.INFO)
    time = Time(until=1000.0)
    watchdog = Watchdog("judge", after_s=60.0, sleep=time.sleep, clock=time.clock)
    for begins in range(0, 1000, 50):
        call = contextlib.ExitStack()
        time.events[begins + 1.0] = lambda one=call: one.enter_context(
            watchdog.watched("quick")
        )
        time.events[begins + 40.0] = call.close
    with pytest.raises(EnoughError):
        await watchdog.watch()
    assert caplog.records == []


async def test_a_call_is_named_when_it_has_the_age(watch):
    time = Time(until=150.0)

    def happens(begin):
        time.events[50.0] = lambda: begin("late")

    told = await watch(time, happens)
    assert told == ["calls to judge under way: 1; the oldest, about late, for 60 s"]
