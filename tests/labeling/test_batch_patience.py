"""Tests of `rlaif_jax.labeling.batch_patience`: no real time."""

import pytest

from rlaif_jax.errors import PreemptedError
from rlaif_jax.labeling.batch_patience import Patience
from rlaif_jax.labeling.chat import TransientError

pytestmark = pytest.mark.anyio


@pytest.fixture
def time():
    """A clock that only sleeping moves, and what was slept."""

    class Time:
        def __init__(self):
            self.now, self.slept = 0.0, []

        def clock(self):
            return self.now

        async def sleep(self, seconds):
            self.slept.append(seconds)
            self.now += seconds

    return Time()


def patience(time, *, poll_s=60.0, max_wait_s=1e6):
    return Patience(
        "h", poll_s=poll_s, max_wait_s=max_wait_s, clock=time.clock, sleep=time.sleep
    )


async def test_looks_become_rarer_until_something_happens(time):
    waiting = patience(time)
    for _ in range(8):
        await waiting.wait(1)
    assert time.slept[:3] == [60.0, 90.0, 135.0] and time.slept[-1] == 600.0
    waiting.begin_again()
    await waiting.wait(1)
    assert time.slept[-1] == 60.0


async def test_a_provider_that_asks_for_peace_gets_it(time):
    waiting = patience(time)
    waiting.hold_back(500.0)
    await waiting.wait(1)
    waiting.hold_back(1.0)
    await waiting.wait(1)
    assert time.slept == [500.0, 600.0]


async def test_the_wait_ends_in_time(time):
    waiting = patience(time, max_wait_s=100.0)
    await waiting.wait(3)
    await waiting.wait(3)
    assert time.slept == [60.0, 40.0]
    with pytest.raises(PreemptedError, match=r"3 batches at h .*max_wait_s=100: they"):
        await waiting.wait(3)


def failing(number, error):
    left = [error] * number

    async def call():
        if left:
            raise left.pop()
        return "done"

    return call


async def test_a_call_is_tried_again_ever_later(time):
    assert await patience(time).tried(failing(5, TransientError("500"))) == "done"
    assert time.slept == [2.0, 4.0, 8.0, 16.0, 32.0]
    with pytest.raises(PreemptedError, match="500: run the same command again"):
        await patience(time).tried(failing(6, TransientError("500")))


async def test_retry_after_is_obeyed(time):
    error = TransientError("429", retry_after_s=77.0)
    await patience(time).tried(failing(1, error))
    assert time.slept == [77.0]


async def test_what_may_have_worked_is_not_repeated(time):
    with pytest.raises(TransientError):
        await patience(time).tried(
            failing(1, TransientError("500")), is_repeatable=False
        )
    busy = failing(1, TransientError("429", fault="rate_limit"))
    assert await patience(time).tried(busy, is_repeatable=False) == "done"
