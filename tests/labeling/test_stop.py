"""Tests of `rlaif_jax.labeling.stop`."""

import asyncio
import os
import signal

import pytest

from rlaif_jax.errors import PreemptedError, RefusedError
from rlaif_jax.labeling.stop import Stop, StoppedError, stop_on_signals

pytestmark = pytest.mark.anyio


async def test_the_first_reason_is_kept():
    stop = Stop()
    stop.check()
    stop.request(RefusedError("first"))
    stop.request(RefusedError("second"))
    assert str(stop.error) == "first"
    with pytest.raises(StoppedError):
        stop.check()
    await stop.wait()


async def test_a_stop_ends_a_sleep():
    stop = Stop()
    sleeping = asyncio.create_task(stop.sleep(3600))
    await asyncio.sleep(0)
    stop.request(RefusedError("enough"))
    await sleeping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_to_stop_and_a_second_one_to_hurry(number):
    before = signal.getsignal(number)
    stop = Stop()
    with stop_on_signals(stop):
        os.kill(os.getpid(), number)
        await stop.wait()
        assert isinstance(stop.error, PreemptedError)
        assert not stop.impatient.is_set()
        os.kill(os.getpid(), number)
        await stop.impatient.wait()
    assert signal.getsignal(number) == before


async def test_off_the_main_thread_signals_are_left_alone():
    def run():
        async def inner():
            with stop_on_signals(Stop()):
                pass

        asyncio.run(inner())

    await asyncio.to_thread(run)
