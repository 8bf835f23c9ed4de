"""Tests of `rlaif_jax.labeling.pipeline`: order, stops, kills."""

import asyncio
import contextlib
import dataclasses
import importlib.util
import io
import json
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from rlaif_jax.errors import InternalError, PreemptedError, RefusedError, UsageError
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.circuit import Circuit
from rlaif_jax.labeling.critic import ChatCritic
from rlaif_jax.labeling.pipeline import complete_all, in_order, label_all
from rlaif_jax.labeling.session import open_asker
from rlaif_jax.labeling.stop import Stop, StoppedError
from rlaif_jax.labeling.teacher import ChatTeacher, Draw
from rlaif_jax.records import Label, Verdict

pytestmark = pytest.mark.anyio
SCRIPT = Path(__file__).with_name("label_once.py")
ROOT = Path(__file__).parents[2]


async def collect(items, work, *, workers=3, stop=None, **fields):
    run = in_order(items, work, workers=workers, stop=stop or Stop(), **fields)
    async with contextlib.aclosing(run):
        return [result async for result in run]


async def test_results_come_in_input_order_whatever_takes_longest():
    gates = [asyncio.Event() for _ in range(6)]

    async def work(number):
        if number < 5:
            await gates[number + 1].wait()  # each waits for the next one
        gates[number].set()
        return number

    assert await collect(range(6), work, workers=6) == list(range(6))


async def test_input_is_read_no_further_than_a_window():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    first = asyncio.Event()

    async def work(number):
        if number == 0:
            await first.wait()
        return number

    run = in_order(items(), work, workers=2, stop=Stop())
    async with contextlib.aclosing(run):
        head = asyncio.create_task(anext(run))
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(taken) == 16  # eight a worker
        first.set()
        assert await head == 0
        assert [number async for number in run] == list(range(1, 1000))


async def test_nothing_to_do_is_done():
    assert await collect([], asyncio.sleep) == []


async def test_an_error_stops_the_run_and_comes_after_the_results_before_it():
    async def work(number):
        await asyncio.sleep(0)
        if number == 5:
            raise UsageError("401")
        return number

    seen = []
    run = in_order(range(100), work, workers=2, stop=Stop())
    with pytest.raises(UsageError, match="401"):
        async for number in run:
            seen.append(number)
    assert seen == list(range(5))


async def test_input_that_breaks_is_told():
    def items():
        yield 1
        raise InternalError("bad file")

    async def work(number):
        return number

    with pytest.raises(InternalError, match="bad file"):
        await collect(items(), work)


async def test_a_bug_is_not_swallowed():
    async def work(number):
        raise KeyError(number)

    with pytest.raises(KeyError):
        await collect(range(50), work)


async def test_leaving_early_leaves_no_task_behind():
    async def work(number):
        await asyncio.sleep(0 if number < 3 else 3600)
        return number

    before = asyncio.all_tasks()
    run = in_order(range(50), work, workers=4, stop=Stop())
    async with contextlib.aclosing(run):
        async for number in run:
            if number == 1:
                break
    assert asyncio.all_tasks() == before


async def test_a_stop_waits_for_what_is_under_way_and_begins_nothing():
    stop, begun, gate = Stop(), [], asyncio.Event()

    async def work(number):
        begun.append(number)
        await gate.wait()
        return number

    running = asyncio.create_task(collect(range(50), work, workers=4, stop=stop))
    while len(begun) < 4:
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await stop.wait()
    gate.set()
    with pytest.raises(PreemptedError, match="SIGTERM"):
        await running
    assert begun == [0, 1, 2, 3]


async def test_a_stop_does_not_wait_forever():
    stop = Stop()

    async def work(number):
        stop.request(RefusedError("budget reached"))
        await asyncio.Event().wait()

    with pytest.raises(RefusedError):
        await collect(range(50), work, stop=stop, drain_s=0.01)


async def test_work_that_was_finished_in_spite_of_a_stop_is_finished():
    stop = Stop()

    async def work(number):
        await asyncio.sleep(0)  # the other workers find nothing to do
        stop.request(PreemptedError("late"))
        return number

    assert await collect([1], work, stop=stop) == [1]


async def test_work_refused_while_stopping_is_no_error_of_its_own():
    stop = Stop()

    async def work(number):
        if number == 1:
            stop.request(PreemptedError("now"))
            raise StoppedError
        return number

    with pytest.raises(PreemptedError, match="now"):
        await collect(range(5), work, workers=1, stop=stop)


@pytest.fixture
async def label(server, endpoint, comparison, tmp_path):
    async def run(
        number,
        *,
        api="openai",
        budget_usd=None,
        max_unanswered=0,
        time=None,
        **fields,
    ):
        prices = dict.fromkeys(
            ("usd_per_million_input_tokens", "usd_per_million_output_tokens"), 1.0
        )
        accounts = Accounts(total=number, max_unanswered=max_unanswered)
        shown = []
        async with open_asker(
            endpoint(api, **(prices | fields)),
            api_key="planted-key-9f8e7d",
            ledger=tmp_path / "ledger.jsonl",
            budget_usd=budget_usd,
        ) as asker:
            asker.uniform = lambda: 0.0  # retries at once
            asker.limits.circuit = Circuit(first_wait_s=0.0)
            if time is not None:
                asker.limits = dataclasses.replace(
                    asker.limits, sleep=time.sleep, clock=time.clock
                )
            labels = [
                one
                async for one in label_all(
                    (comparison(index) for index in range(number)),
                    critic=ChatCritic(asker=asker),
                    workers=4,
                    stop=asker.stop,
                    accounts=accounts,
                    progress=lambda totals: shown.append(totals.done),
                )
            ]
        assert shown == list(range(1, number + 1))
        return labels, accounts

    return run


@pytest.mark.parametrize("api", ["openai", "anthropic"])
async def test_faults_change_no_label(label, comparison, server, api):
    faults = ["429", "500", "529", "html", "truncated", "drop", "nothing"]
    server.faults.extend([*faults, "huge", "not-utf8"] * 3)
    labels, accounts = await label(20, api=api, max_attempts=30)
    assert [one.pair_id for one in labels] == [
        comparison(index).pair_id for index in range(20)
    ]
    assert {one.verdict for one in labels} == {Verdict.FIRST}
    assert accounts.calls == len(server.requests) == 40 + 27
    assert server.max_in_flight <= 4


async def test_a_second_run_asks_nothing_and_labels_the_same(label, server, tmp_path):
    labels, accounts = await label(10)
    asked = len(server.requests)
    ledger = (tmp_path / "ledger.jsonl").read_bytes()
    again, same = await label(10)
    assert again == labels and same == accounts
    assert len(server.requests) == asked
    assert (tmp_path / "ledger.jsonl").read_bytes() == ledger


async def test_a_dripping_body_meets_the_deadline(label, server):
    server.faults.append("drip")
    labels, _ = await label(1, timeout_s=0.3)
    assert labels[0].verdict is Verdict.FIRST and labels[0].calls == 3


async def test_a_wrong_key_stops_at_once_and_shows_nothing(
    label, server, tmp_path, caplog
):
    server.every_fault = "401"
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UsageError, match=r"127\.0\.0\.1.*401.*judge-1") as caught:
        await label(500)
    assert len(server.requests) <= 4
    written = (tmp_path / "ledger.jsonl").read_text()
    for text in (str(caught.value), written, caplog.text):
        assert "planted-key" not in text


async def test_garbage_for_some_is_failure_and_for_all_stops_the_run(label, server):
    server.every_fault = "html"
    labels, accounts = await label(5, max_attempts=2, max_unanswered=5)
    assert accounts.states == {"failed": 5} and accounts.calls == 10
    assert {one.verdict for one in labels} == {Verdict.FAILED}
    asked = len(server.requests)
    with pytest.raises(PreemptedError, match=r"calls in a row.*one at a time"):
        await label(200, max_attempts=6)
    assert len(server.requests) - asked <= 16  # ten, three beside them, two trials


async def test_a_server_that_goes_away_for_a_while_loses_nothing(label, server):
    server.faults.extend([""] * 5 + ["500"] * 14 + [""] * 5 + ["drop"] * 14)
    labels, accounts = await label(20, max_attempts=30)
    assert {one.verdict for one in labels} == {Verdict.FIRST}
    assert accounts.calls == len(server.requests) == 40 + 28


class Time:
    """A clock that only waiting for a limit moves."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


async def test_a_servers_limit_is_learnt_and_never_met(label, server, rate_limit):
    time = Time()
    server.rate = rate_limit(10, time.clock)
    labels, _ = await label(15, time=time, max_in_flight=1)
    assert {one.verdict for one in labels} == {Verdict.FIRST}
    assert server.rate.num_refused == 0
    # of 30 requests 10 go at once, and one every six seconds
    assert time.now == pytest.approx(120.0, abs=1.0)


async def test_failures_of_one_run_are_asked_again_by_the_next(label, server):
    server.every_fault = "500"
    with pytest.raises(PreemptedError, match=r"5 of 5 got no answer.*run the same"):
        await label(5, max_attempts=1)
    server.every_fault = None
    labels, _ = await label(5)
    assert {one.verdict for one in labels} == {Verdict.FIRST}


async def test_a_budget_is_kept_across_runs(label, server):
    # a call costs 104e-6, and at most about 0.0017
    with pytest.raises(RefusedError, match="budget reached"):
        await label(100, budget_usd=0.006)
    asked = len(server.requests)
    assert 0 < asked * 104e-6 <= 0.006
    with pytest.raises(RefusedError, match="budget reached"):
        await label(100, budget_usd=0.006)
    assert len(server.requests) == asked
    labels, accounts = await label(100, budget_usd=1.0)
    assert len(labels) == 100 and len(server.requests) == 200
    assert accounts.cost_usd == pytest.approx(200 * 104e-6)


async def test_completions_come_in_order_with_every_end(
    server, endpoint, prompt, tmp_path
):
    server.faults.extend(["refusal", "too-long"])
    accounts = Accounts(total=6)
    async with open_asker(
        endpoint(), api_key=None, ledger=tmp_path / "l.jsonl", budget_usd=None
    ) as asker:
        completions = [
            one
            async for one in complete_all(
                [Draw(prompt(f"p{index}")) for index in range(6)],
                teacher=ChatTeacher(asker=asker),
                workers=1,
                stop=asker.stop,
                accounts=accounts,
            )
        ]
    assert [one.finish_reason for one in completions] == [
        "refusal",
        "too_long",
        *["stop"] * 4,
    ]
    assert completions[5].text == "echo p5"
    assert accounts.states == {"refusal": 1, "too_long": 1, "stop": 4}


async def start(server, ledger, number):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        server.openai_url,
        str(ledger),
        str(number),
        "planted-key-9f8e7d",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def label_here(server, ledger, number):
    spec = importlib.util.spec_from_file_location("label_once", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        await module.main(server.openai_url, ledger, str(number), "planted-key-9f8e7d")
    lines = printed.getvalue().splitlines()
    return [Label.model_validate_json(line) for line in lines]


def answers(ledger):
    records = [json.loads(line) for line in ledger.read_text().splitlines()]
    return sorted(
        (one["key"], one["text"]) for one in records if one["kind"] == "result"
    )


async def test_a_run_may_be_killed_anywhere(server, tmp_path):
    number, workers, kills = 60, 8, 2
    ledger, other = tmp_path / "ledger.jsonl", tmp_path / "other.jsonl"
    server.latency_s = 0.01
    for after in (5, 70):
        process = await start(server, ledger, number)
        while len(server.requests) < after:
            await asyncio.sleep(0.005)
        process.kill()
        await process.communicate()
    labels = await label_here(server, ledger, number)
    assert "planted-key" not in ledger.read_text()
    assert len({one.pair_id for one in labels}) == len(labels) == number
    assert [one.verdict for one in labels] == [Verdict.SECOND, Verdict.FIRST] * 30
    asked = len(server.requests)
    assert 2 * number <= asked <= 2 * number + workers * kills

    assert await label_here(server, other, number) == labels
    assert len(server.requests) == asked + 2 * number
    assert answers(ledger) == answers(other)
    assert len(dict(answers(ledger))) == 2 * number


async def test_a_signal_ends_a_process_with_everything_on_disk(server, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    server.latency_s = 0.02
    process = await start(server, ledger, 60)
    while len(server.requests) < 20:
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    err = (await process.communicate())[1].decode()
    assert "planted-key" not in err
    assert "PreemptedError" in err and process.returncode == 1  # no cli around it
    asked = len(server.requests)
    assert len(await label_here(server, ledger, 60)) == 60
    assert len(server.requests) == 120  # not one call was lost
    assert asked < 120
