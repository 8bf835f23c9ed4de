"""Tests of a task that is tied to a governor, asking a real local server."""

import asyncio
import contextlib

import pytest

from rlaif_jax.errors import PreemptedError, RefusedError
from rlaif_jax.labeling.attempts import (
    BlockLedger,
    attempt_folder,
    new_attempt,
    read_attempts,
)
from rlaif_jax.labeling.budget import Budget
from rlaif_jax.labeling.critic import ChatCritic
from rlaif_jax.labeling.governor import Governor
from rlaif_jax.labeling.objects import FolderObjects
from rlaif_jax.labeling.pipeline import in_order
from rlaif_jax.labeling.session import Endpoint, lend_askers
from rlaif_jax.labeling.tether import LeasedBudget, Tether

pytestmark = pytest.mark.anyio

PRICES = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}


class Tied:
    """One task of one endpoint, tied to a governor in this process."""

    def __init__(self, tmp_path, governor, *, budget_usd=None, block=0):
        self.objects = FolderObjects(tmp_path)
        attempt = new_attempt(0)
        log = self.objects.new_log(attempt_folder(block, attempt))
        self.ledger = BlockLedger(log)
        self.budget_usd, self.block, self.attempt = budget_usd, block, attempt
        self.governor = governor
        self.num_left = 100
        self.budget = (
            Budget(limit_usd=None)
            if budget_usd is None
            else LeasedBudget(of_usd=budget_usd)
        )

    async def judge(self, endpoint, comparisons):
        """The labels of comparisons, as a task judges them."""
        async with lend_askers(
            [Endpoint(endpoint)],
            ledger=self.ledger,
            budget=self.budget,
            budget_usd=self.budget_usd,
        ) as askers:
            self.asker = askers[0]
            self.tether = Tether(
                block=self.block,
                attempt=self.attempt,
                askers=askers,
                budget=self.budget,
                ledger=self.ledger,
                backlog=lambda: self.num_left,
                report=self.report,
            )
            critic = ChatCritic(asker=askers[0])
            run = in_order(comparisons, critic.judge, workers=9, stop=askers[0].stop)
            try:
                async with self.tether.held(), contextlib.aclosing(run):
                    return [label async for label in run]
            finally:
                self.governor.close(self.attempt, self.budget.spent_usd)

    async def report(self, report):
        return self.governor.sync(report)


def governor(budget_usd=None, max_in_flight=4):
    return Governor(budget_usd=budget_usd, max_in_flight=(max_in_flight,))


async def test_a_task_asks_what_it_is_told_it_may(
    tmp_path, server, endpoint, comparison
):
    server.latency_s = 0.02
    task = Tied(tmp_path, governor(max_in_flight=3))
    labels = await task.judge(endpoint(max_in_flight=3), map(comparison, range(12)))
    assert [label.state for label in labels] == ["labeled"] * 12
    assert server.max_in_flight == 3
    assert len(task.ledger) == 24


async def test_nothing_is_asked_before_the_governor_answers(
    tmp_path, server, endpoint, comparison
):
    task = Tied(tmp_path, governor())
    answer = asyncio.Event()
    now = task.report

    async def later(report):
        await answer.wait()
        return await now(report)

    task.report = later
    judging = asyncio.create_task(task.judge(endpoint(), [comparison()]))
    await asyncio.sleep(0.05)
    assert not server.requests
    answer.set()
    assert (await judging)[0].state == "labeled"


async def test_a_task_that_is_cut_off_begins_nothing_more(
    tmp_path, server, endpoint, comparison, monkeypatch
):
    monkeypatch.setattr("rlaif_jax.labeling.tether.SILENT_S", 0.0)
    task = Tied(tmp_path, governor())
    judging = asyncio.create_task(task.judge(endpoint(), [comparison()]))
    for _ in range(20):  # every answer comes too late to be true
        await asyncio.sleep(0.01)
    assert task.asker.limits.concurrency.limit == 0
    assert not server.requests
    monkeypatch.setattr("rlaif_jax.labeling.tether.SILENT_S", 60.0)
    assert (await judging)[0].state == "labeled"


async def test_money_is_written_down_before_it_is_spent(
    tmp_path, server, endpoint, comparison
):
    task = Tied(tmp_path, governor(budget_usd=1.0), budget_usd=1.0)
    seen = []

    def answer(text):
        seen.append(read_attempts(task.objects, 0)[0].leased_usd)
        return "Output (a)"

    server.answer = answer
    await task.judge(endpoint(**PRICES), map(comparison, range(4)))
    assert min(seen) > 0
    assert task.budget.spent_usd == pytest.approx(8 * 104e-6)
    assert task.budget.spent_usd <= task.budget.leased_usd <= 1.0


async def test_a_budget_that_is_used_up_stops_the_task(
    tmp_path, server, endpoint, comparison
):
    limited = governor(budget_usd=1e-4)  # less than a call may cost
    task = Tied(tmp_path, limited, budget_usd=1e-4)
    with pytest.raises(RefusedError, match="raise budget_usd"):
        await task.judge(endpoint(**PRICES), [comparison()])
    assert not server.requests


async def test_money_that_comes_or_never_comes_ends_the_wait():
    budget = LeasedBudget(of_usd=1.0)
    waiting = [asyncio.create_task(budget.reserve(usd)) for usd in (0.3, 0.5)]
    await asyncio.wait_for(budget.is_short.wait(), 5)
    assert (budget.need_usd, budget.most_usd) == (0.5, 0.5)
    budget.raise_to(0.4)
    await waiting[0]
    await asyncio.wait_for(budget.is_short.wait(), 5)
    assert budget.need_usd == 0.5
    budget.settle(0.3, 0.1)
    budget.give_back()
    assert budget.leased_usd == 0.1
    budget.exhaust()
    with pytest.raises(RefusedError, match="may cost"):
        await waiting[1]
    assert not budget.is_short.is_set()


async def test_two_tasks_spend_no_more_than_one_budget(
    tmp_path, server, endpoint, comparison
):
    # 20 comparisons of 2 calls at 104e-6 USD are 4.2e-3 USD
    budget_usd = 3e-3
    shared = governor(budget_usd=budget_usd)
    tasks = [
        Tied(tmp_path, shared, budget_usd=budget_usd, block=block) for block in (0, 1)
    ]
    ends = await asyncio.gather(
        *(
            task.judge(
                endpoint(max_tokens=16, **PRICES),
                [comparison(10 * task.block + n) for n in range(10)],
            )
            for task in tasks
        ),
        return_exceptions=True,
    )
    assert any(isinstance(end, RefusedError) for end in ends)
    assert 0 < len(server.requests) * 104e-6 <= budget_usd
    assert sum(task.budget.spent_usd for task in tasks) <= budget_usd


async def test_a_stop_reaches_what_waits_for_a_slot(
    tmp_path, server, endpoint, comparison
):
    stopped = governor()
    stopped.stop("stopped by SIGTERM")
    task = Tied(tmp_path, stopped)
    with pytest.raises(PreemptedError, match="SIGTERM"):
        await task.judge(endpoint(), map(comparison, range(3)))
    assert not server.requests


async def test_a_servers_pause_is_told_to_the_governor(
    tmp_path, server, endpoint, comparison
):
    shared = governor()
    server.faults.extend(["429-later"])  # in 7 seconds
    task = Tied(tmp_path, shared)
    judging = asyncio.create_task(task.judge(endpoint(), [comparison()]))
    other = Tied(tmp_path, shared, block=1)
    while not server.requests:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    await task.tether.sync()
    waiting = asyncio.create_task(other.judge(endpoint(), [comparison(1)]))
    await asyncio.sleep(0.1)
    assert other.asker.limits.pause_left_s > 5
    assert len(server.requests) == 1
    for running in (judging, waiting):
        running.cancel()
    await asyncio.gather(judging, waiting, return_exceptions=True)
