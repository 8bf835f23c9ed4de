"""Tests of `rlaif_jax.labeling.limits`: no real time."""

import asyncio
import contextlib
import logging

import pytest

from rlaif_jax.errors import PreemptedError, RefusedError
from rlaif_jax.labeling.buckets import Bucket
from rlaif_jax.labeling.chat import Answer, RejectedError, TransientError
from rlaif_jax.labeling.circuit import Circuit
from rlaif_jax.labeling.concurrency import Concurrency
from rlaif_jax.labeling.headers import Quota
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.stop import Stop, StoppedError
from rlaif_jax.records import Usage

pytestmark = pytest.mark.anyio

SIZE = Usage(prompt_tokens=100, completion_tokens=50)
USED = Usage(prompt_tokens=100, completion_tokens=4)
LIMITED = TransientError("429", fault="rate_limit")
BROKEN = TransientError("503")


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


@pytest.fixture
def time():
    return Time()


def limits(time, *, max_in_flight=2, stop=None, **per_minute):
    return Limits(
        concurrency=Concurrency(max_in_flight=max_in_flight),
        circuit=Circuit(clock=time.clock),
        stop=stop or Stop(),
        buckets={
            kind: Bucket.of_minute(amount, clock=time.clock)
            for kind, amount in per_minute.items()
        },
        sleep=time.sleep,
        clock=time.clock,
    )


def answer(usage=USED, **quotas):
    return Answer(
        text="a",
        finish_reason="stop",
        returned_model="m",
        usage=usage,
        request_id="",
        quotas=quotas,
    )


@pytest.fixture
def starts(time):
    """Makes calls one after the other; returns when each began, in seconds."""

    async def run(bound, *outcomes, size=SIZE):
        begun = []

        async def call(outcome):
            begun.append(time.now - 100.0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        for outcome in outcomes:
            with contextlib.suppress(TransientError, RejectedError):
                await bound.within(size, lambda one=outcome: call(one))
        return begun

    return run


async def test_no_more_calls_than_allowed(time):
    bound = limits(time, max_in_flight=3)
    under_way = most = 0

    async def call():
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return answer()

    await asyncio.gather(*(bound.within(SIZE, call) for _ in range(10)))
    assert most == 3


async def test_calls_start_in_the_order_in_which_they_come(time):
    bound = limits(time, max_in_flight=9, tokens=600)
    begun = []

    async def sleep(seconds):  # in small steps, so that a shorter one ends first
        for _ in range(round(seconds * 20)):
            time.now += 0.05
            await asyncio.sleep(0)

    bound.sleep = sleep

    async def call(name):
        begun.append(name)
        return answer(usage=None)

    sizes = {"first": 10, "large": 300, "small": 1}
    await asyncio.gather(
        *(
            bound.within(Usage(prompt_tokens=size), lambda one=name: call(one))
            for name, size in sizes.items()
        )
    )
    assert begun == ["first", "large", "small"]


async def test_a_pause_holds_back_every_call(time, starts):
    bound = limits(time)
    bound.pause(5.0)
    bound.pause(3.0)  # a shorter wish does not shorten it
    assert await starts(bound, answer(), answer()) == [5.0, 5.0]
    assert time.slept == [5.0]


async def test_pauses_are_told_once_a_minute(time, caplog):
    caplog.set_level(logging.INFO)
    bound = limits(time)
    for _ in range(100):  # two seconds apart
        bound.pause(1.5)
        await time.sleep(2.0)
    told = [one.getMessage() for one in caplog.records if "pause" in one.getMessage()]
    assert [one.partition("number ")[2] for one in told] == ["1)", "31)", "61)", "91)"]


async def test_a_pause_that_is_too_long_ends_the_run(time):
    with pytest.raises(PreemptedError, match="9999 s"):
        limits(time).pause(9999.0)


async def test_no_call_starts_while_stopping(time, starts):
    stop = Stop()
    stop.request(RefusedError("enough"))
    with pytest.raises(StoppedError):
        await starts(limits(time, stop=stop), answer())


async def test_a_stop_ends_the_wait_for_a_limit():
    stop = Stop()
    bound = limits(Time(), stop=stop, requests=1)
    bound.sleep = None  # the stop's own, which would take a minute

    async def call():
        return answer()

    await bound.within(SIZE, call)
    waiting = asyncio.create_task(bound.within(SIZE, call))
    await asyncio.sleep(0)
    stop.request(RefusedError("enough"))
    with pytest.raises(StoppedError):
        await waiting


async def test_requests_keep_their_limit_per_minute(time, starts):
    bound = limits(time, requests=60)
    assert await starts(bound, *[answer()] * 4) == [0.0, 1.0, 2.0, 3.0]


async def test_tokens_that_were_not_used_are_given_back(time, starts):
    bound = limits(time, tokens=600)  # ten a second, at most ten at once
    # 150 are set aside and 104 used, so the next call can go after 10.4 s
    assert await starts(bound, *[answer()] * 3) == pytest.approx([0.0, 10.4, 20.8])


@pytest.mark.parametrize(
    ("failure", "next_at"),
    [
        (TransientError("cut", may_be_billed=True), 15.0),
        (BROKEN, 0.0),
        (LIMITED, 0.0),
        (RejectedError("413", finish_reason="too_long"), 0.0),
    ],
)
async def test_a_failed_call_keeps_what_it_may_have_used(
    time, starts, failure, next_at
):
    bound = limits(time, tokens=600)
    assert (await starts(bound, failure, answer()))[1] == pytest.approx(next_at)


async def test_a_failed_call_was_a_request_all_the_same(time, starts):
    bound = limits(time, requests=60)
    assert await starts(bound, LIMITED, BROKEN, answer()) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("is_failure", [False, True])
async def test_the_servers_limits_are_learnt_from_whatever_it_sends(
    time, starts, is_failure
):
    quotas = {"requests": Quota(30.0, 1.0, None), "output-tokens": Quota(60.0, 60.0, 0)}
    told = answer(**quotas)
    if is_failure:
        told = TransientError("503", quotas=quotas)
    # one request is left, then one comes back in two seconds; and an answer that may
    # take 50 of 60 tokens, but takes 4, holds nothing back
    begun = await starts(limits(time), told, answer(), answer(), answer())
    assert begun == pytest.approx([0.0, 0.0, 2.0, 4.0])


async def test_input_and_output_have_limits_of_their_own(time, starts):
    quotas = {"input-tokens": Quota(6000.0, 100.0, None)}
    begun = await starts(limits(time), answer(**quotas), answer(), answer())
    # 100 a second come back: the second call takes what is left, the third 100 again
    assert begun == pytest.approx([0.0, 0.0, 1.0])


async def test_a_limit_that_is_too_slow_to_sit_through_ends_the_run(time, starts):
    daily = answer(requests=Quota(10.0, 0.0, 86400.0))
    with pytest.raises(PreemptedError, match=r"8640 s: .*requests_per_minute"):
        await starts(limits(time), daily, answer())
    assert time.slept == []


async def test_what_the_server_tells_ends_a_wait_early(time):
    bound = limits(time, max_in_flight=3)
    gate = asyncio.Event()

    async def tell(quota, until=None):
        if until is not None:
            await until.wait()
        return answer(requests=quota)

    async def never(seconds):
        await asyncio.Event().wait()

    await bound.within(SIZE, lambda: tell(Quota(60.0, 1.0, None)))
    bound.sleep = never
    slow = asyncio.create_task(
        bound.within(SIZE, lambda: tell(Quota(60.0, 60.0, 0), gate))
    )
    await asyncio.sleep(0)
    waiting = asyncio.create_task(bound.within(SIZE, lambda: tell(Quota(60, 59, 1))))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    await slow
    await waiting


async def test_rate_limits_make_fewer_calls_and_server_errors_do_not(time):
    bound = limits(time, max_in_flight=10)

    async def burst(outcome):
        """As many calls at a time as may be, all with the same end."""
        arrived = asyncio.Barrier(bound.concurrency.limit)

        async def call():
            await arrived.wait()
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        calls = [bound.within(SIZE, call) for _ in range(arrived.parties)]
        await asyncio.gather(*calls, return_exceptions=True)
        return bound.concurrency.limit

    assert await burst(BROKEN) == 10
    bound.circuit = Circuit(clock=time.clock)
    assert await burst(LIMITED) == 7
    assert await burst(answer()) == 7  # 7.35
    assert await burst(LIMITED) == 5  # 5.145


async def test_a_server_that_is_gone_is_found_out_by_a_few_calls(time, starts):
    bound = limits(time)
    await starts(bound, answer(), *[BROKEN] * 10)
    begun = await starts(bound, *[BROKEN] * 4)
    assert begun == [1.0, 3.0, 7.0, 15.0]
    with pytest.raises(PreemptedError, match=r"15 calls in a row.*503"):
        await starts(bound, BROKEN)


@pytest.mark.parametrize(
    "outcome", [answer(), LIMITED, RejectedError("413", finish_reason="too_long")]
)
async def test_a_server_that_answers_in_any_way_is_there(time, starts, outcome):
    bound = limits(time)
    await starts(bound, *[BROKEN] * 9, outcome, *[BROKEN] * 9)
    assert not bound.circuit.is_open


async def test_while_one_call_is_on_trial_the_others_wait(time, starts):
    bound = limits(time, max_in_flight=8)
    await starts(bound, answer(), *[BROKEN] * 10)
    gate = asyncio.Event()
    begun = []

    async def call(name):
        begun.append(name)
        await gate.wait()
        return answer()

    calls = [
        asyncio.create_task(bound.within(SIZE, lambda one=name: call(one)))
        for name in range(4)
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    assert begun == [0]
    gate.set()
    await asyncio.gather(*calls)
    assert begun == [0, 1, 2, 3]


async def test_nothing_starts_until_something_is_granted(time, starts):
    bound = limits(time, requests=60)
    bound.grant(max_in_flight=0, share=0.0)
    waiting = asyncio.create_task(starts(bound, answer()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done() and not time.slept
    bound.grant(max_in_flight=1, share=0.5)
    # the bucket was emptied: at half a request a second, the whole needs 1 s
    assert await waiting == [pytest.approx(1.0)]


async def test_a_long_wait_for_a_small_share_is_no_reason_to_end(time, starts):
    bound = limits(time, tokens=6000)
    bound.grant(max_in_flight=1, share=0.01)  # one token a second
    begun = await starts(bound, answer(), answer(), answer(usage=None), answer())
    assert begun[-1] > 0.0
    bound.max_pause_s = 10.0
    assert len(await starts(bound, answer())) == 1  # about 100 s of a share
