"""Tests of `rlaif_jax.labeling.budget` and `ledger`: what a provider bills in the end.

Each run is a made-up provider with a bill of its own, which the code under test never
sees: it bills every call that arrives and may fail it after that. The process dies at
random moments: its ledger takes no further byte, and its tasks are gone.
"""

import asyncio
import contextlib
import random
from typing import ClassVar

import pytest

from rlaif_jax.errors import CommandError, RefusedError, UsageError
from rlaif_jax.labeling.asking import Asker
from rlaif_jax.labeling.backoff import Backoff
from rlaif_jax.labeling.budget import Budget, Prices
from rlaif_jax.labeling.chat import Answer, RejectedError, TransientError
from rlaif_jax.labeling.circuit import Circuit
from rlaif_jax.labeling.concurrency import Concurrency
from rlaif_jax.labeling.ledger import Ledger
from rlaif_jax.labeling.limits import Limits
from rlaif_jax.labeling.pipeline import in_order
from rlaif_jax.labeling.question import Question
from rlaif_jax.labeling.stop import Stop
from rlaif_jax.labeling.tokens import most_prompt_tokens
from rlaif_jax.labeling.watchdog import Watchdog
from rlaif_jax.records import Message, Usage

pytestmark = pytest.mark.anyio
RUNS = 1000
CENT = 0.01
PENNY_OF_FLOATS = 1e-9  # sums of floats in another order


class Provider:
    """Answers, fails, and bills; all of it drawn from one seed."""

    api, model, identity, host = "openai", "m", "http://h", "h"
    settings: ClassVar[dict[str, str]] = {}

    def __init__(self, draw, prices):
        self.draw = draw
        self.prices = prices
        self.bill_usd = 0.0
        self.num_calls = 0

    async def ask(self, messages, *, max_tokens, temperature, seed):
        self.num_calls += 1
        most = most_prompt_tokens(messages)
        full = self.draw.random() < 0.3  # nothing may be more than the most
        usage = Usage(
            prompt_tokens=most if full else self.draw.randint(0, most),
            completion_tokens=max_tokens if full else self.draw.randint(0, max_tokens),
        )
        end = self.draw.choice(ENDS) if self.draw.random() < 0.5 else answered
        if end not in FREE:
            self.bill_usd += self.prices.cost_usd(usage)
        for _ in range(self.draw.randrange(4)):
            await asyncio.sleep(0)
        return end(usage, self.draw)

    def request(self, messages, **options):
        raise AssertionError("nothing of a call is asked apart")

    async def close(self):
        pass


def answered(usage, draw):
    return Answer(
        text="Output (a)",
        finish_reason=draw.choice(["stop", "length", "refusal", "content_filter"]),
        returned_model="m",
        usage=usage,
        request_id="r",
    )


def answered_without_usage(usage, draw):
    return Answer(
        text="a", finish_reason="stop", returned_model="m", usage=None, request_id=""
    )


def dropped(usage, draw):
    raise TransientError("dropped", may_be_billed=True)


def late(usage, draw):
    raise TimeoutError


def broken(usage, draw):
    raise KeyError("a bug of ours")


def limited(usage, draw):
    wish = draw.choice([None, 0.0, 3.0, 1e5])
    raise TransientError("429", retry_after_s=wish, fault="rate_limit")


def unavailable(usage, draw):
    raise TransientError("503")


def rejected(usage, draw):
    reason = draw.choice(["too_long", "refusal"])
    raise RejectedError("413", finish_reason=reason)


def refused(usage, draw):
    raise draw.choice([UsageError("401"), RefusedError("no credit")])


FREE = {limited, unavailable, rejected, refused}
ENDS = [
    *(answered_without_usage, dropped, dropped, late, limited, limited, unavailable),
    *(unavailable, rejected, rejected, refused, broken),
]


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        await asyncio.sleep(0)


def asker_of(provider, ledger, *, cap_usd, draw):
    stop, time = Stop(), Time()
    return Asker(
        chat=provider,
        ledger=ledger,
        prices=provider.prices,
        budget=Budget(limit_usd=cap_usd, spent_usd=ledger.spent_usd),
        limits=Limits(
            concurrency=Concurrency(max_in_flight=draw.choice([1, 4, 16])),
            circuit=Circuit(clock=time.clock),
            stop=stop,
            sleep=time.sleep,
            clock=time.clock,
        ),
        stop=stop,
        backoff=Backoff(max_attempts=draw.randint(1, 4)),
        max_tokens=50,
        timeout_s=60.0,
        question_timeout_s=draw.choice([1.0, 900.0]),
        watchdog=Watchdog("m", after_s=60.0),
        sleep=time.sleep,
        clock=time.clock,
        uniform=draw.random,
    )


async def live(asker, questions, *, workers, dies_after):
    """One process, until it ends by itself or is killed; why it ended, if early."""

    async def work(number):
        text = f"question {number} " + "x" * (37 * number % 200)
        messages = (Message(role="user", content=text),)
        return await asker.ask_once(
            Question(messages=messages, item=str(number), template_hash="t")
        )

    async def run():
        outcomes = in_order(range(questions), work, workers=workers, stop=asker.stop)
        async with contextlib.aclosing(outcomes):
            return [one async for one in outcomes]

    process = asyncio.create_task(run())
    for _ in range(dies_after):
        if process.done():
            break
        await asyncio.sleep(0)
    asker.ledger.__exit__(None, None, None)  # whatever comes later is not written
    process.cancel()
    (result,) = await asyncio.gather(process, return_exceptions=True)
    assert isinstance(result, list | CommandError | KeyError | asyncio.CancelledError)
    return result


async def simulate(seed, path):
    """One run over all its lives; the number of ways in which it ended."""
    draw = random.Random(seed)
    prices = Prices(input_usd=draw.choice([0.0, 1e4]), output_usd=draw.uniform(1, 1e5))
    provider = Provider(draw, prices)
    questions, workers = draw.randint(1, 12), draw.choice([1, 3, 16])
    at_most_usd = prices.at_most_usd((Message(role="user", content="x" * 215),), 50)
    cap_usd = draw.uniform(0.5, 1.5 * questions) * at_most_usd
    ends = set()
    for _ in range(draw.randint(2, 4)):
        if draw.random() < 0.2 and path.exists():  # killed within a write
            with path.open("ab") as file:
                file.write(b'{"kind":"intent","key":"ab'[: draw.randint(1, 26)])
        if draw.random() < 0.2:
            cap_usd *= draw.uniform(1.0, 2.0)
        ledger = Ledger(path)
        asker = asker_of(provider, ledger, cap_usd=cap_usd, draw=draw)
        result = await live(
            asker, questions, workers=workers, dies_after=draw.choice([9, 40, 10**6])
        )
        ends.add(type(result).__name__)
        assert provider.bill_usd <= asker.budget.spent_usd + PENNY_OF_FLOATS
        assert provider.bill_usd <= cap_usd + PENNY_OF_FLOATS
    with Ledger(path) as ledger:
        assert provider.bill_usd <= ledger.spent_usd + PENNY_OF_FLOATS
        assert ledger.num_calls == provider.num_calls
    return ends, cap_usd


@pytest.mark.parametrize("part", range(10))
async def test_no_bill_passes_the_cap_whatever_fails_and_dies(tmp_path, part):
    ends, largest_usd = set(), 0.0
    for seed in range(part * RUNS // 10, (part + 1) * RUNS // 10):
        ways, cap_usd = await simulate(seed, tmp_path / f"{seed}.jsonl")
        ends |= ways
        largest_usd = max(largest_usd, cap_usd)
    assert largest_usd > 100 * CENT  # so that a cent would be seen
    assert ends == {
        *("list", "CancelledError", "KeyError", "RefusedError", "UsageError"),
        "PreemptedError",
    }
