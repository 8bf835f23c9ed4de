"""Tests of `rlaif_jax.labeling.limits`: no real time."""

import asyncio

import pytest

from rlaif_jax.errors import PreemptedError, RefusedError
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.stop import Stop, StoppedError

pytestmark = pytest.mark.anyio


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def limits(time, *, max_in_flight=2, stop=None):
    return Limits(
        max_in_flight=max_in_flight,
        stop=stop or Stop(),
        sleep=time.sleep,
        clock=time.clock,
    )


async def test_no_more_calls_than_allowed():
    bound = limits(Time(), max_in_flight=3)
    under_way = most = 0

    async def call():
        nonlocal under_way, most
        async with bound.slot():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    await asyncio.gather(*(call() for _ in range(10)))
    assert most == 3


async def test_a_pause_holds_back_every_call():
    time = Time()
    bound = limits(time)
    bound.pause(5.0)
    bound.pause(3.0)  # a shorter wish does not shorten it
    async with bound.slot():
        assert time.slept == [5.0]
    async with bound.slot():
        assert time.slept == [5.0]


async def test_a_pause_that_is_too_long_ends_the_run():
    with pytest.raises(PreemptedError, match="9999 s"):
        limits(Time()).pause(9999.0)


async def test_no_call_starts_while_stopping():
    stop = Stop()
    stop.request(RefusedError("enough"))
    with pytest.raises(StoppedError):
        async with limits(Time(), stop=stop).slot():
            raise AssertionError
