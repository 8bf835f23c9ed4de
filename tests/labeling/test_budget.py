"""Tests of `rlaif_jax.labeling.budget`."""

import asyncio

import pytest

from rlaif_jax.config_endpoints import CriticConfig, EndpointConfig
from rlaif_jax.errors import RefusedError
from rlaif_jax.labeling.budget import Budget, Prices, endpoint_prices
from rlaif_jax.records import Message, Usage

pytestmark = pytest.mark.anyio
PRICES = Prices(input_usd=2.0, output_usd=10.0)


def config(base_url, **fields):
    return EndpointConfig(api="openai", base_url=base_url, model="m", **fields)


def test_cost_is_tokens_times_price():
    # (1000 * 2 + 100 * 10) / 1e6
    usage = Usage(prompt_tokens=1000, completion_tokens=100)
    assert PRICES.cost_usd(usage) == pytest.approx(0.003)


def test_the_worst_case_counts_a_token_a_byte():
    # (3 * 2 bytes + 32) * 2 + 7 * 10 = 146
    messages = (Message(role="user", content="äöü"),)
    assert PRICES.at_most_usd(messages, 7) == pytest.approx(146e-6)


def test_known_prices_are_used():
    priced = config(
        "https://h/v1",
        usd_per_million_input_tokens=2.0,
        usd_per_million_output_tokens=10.0,
    )
    assert endpoint_prices(priced, 1.0) == PRICES


def test_an_unknown_price_is_refused_unless_nothing_can_be_billed():
    local = config("http://127.0.0.1:1/v1")
    assert endpoint_prices(local, None) == Prices(input_usd=0.0, output_usd=0.0)
    for base_url, budget_usd in (("http://127.0.0.1:1/v1", 1.0), ("https://h", None)):
        with pytest.raises(RefusedError, match="price of 'm'"):
            endpoint_prices(config(base_url), budget_usd)


def test_an_api_that_bills_no_answer_needs_no_price_of_it():
    fields = {"api": "openai_decisions", "base_url": "https://h/v1", "model": "m"}
    priced = CriticConfig(verdicts="soft", usd_per_million_input_tokens=0.1, **fields)
    assert endpoint_prices(priced, 1.0) == Prices(input_usd=0.1, output_usd=0.0)
    with pytest.raises(RefusedError, match=r"set usd_per_million_input_tokens$"):
        endpoint_prices(CriticConfig(verdicts="soft", **fields), None)


async def test_without_a_limit_everything_fits():
    budget = Budget(limit_usd=None)
    await budget.reserve(1e9)
    budget.settle(1e9, 3.0)
    assert budget.spent_usd == 3.0


async def test_what_earlier_runs_spent_counts():
    with pytest.raises(RefusedError, match="budget reached"):
        await Budget(limit_usd=1.0, spent_usd=0.95).reserve(0.1)


async def test_a_reservation_waits_for_calls_that_may_turn_out_cheap():
    budget = Budget(limit_usd=1.0)
    await budget.reserve(0.7)
    waiting = asyncio.create_task(budget.reserve(0.7))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.settle(0.7, 0.1)
    await waiting
    budget.settle(0.7, 0.2)
    assert budget.spent_usd == pytest.approx(0.3)


async def test_the_limit_is_never_passed_whatever_the_order():
    budget = Budget(limit_usd=1.0)

    async def call():
        await budget.reserve(0.3)
        await asyncio.sleep(0)
        budget.settle(0.3, 0.25)

    done = await asyncio.gather(*(call() for _ in range(10)), return_exceptions=True)
    # 0.25 + 0.25 spent leave room for 0.3; at 0.75 they do not
    assert budget.spent_usd == pytest.approx(0.75)
    assert sum(isinstance(one, RefusedError) for one in done) == 7


def test_money_is_set_aside_at_once_or_not_at_all():
    budget = Budget(limit_usd=1.0, spent_usd=0.5)
    assert budget.try_reserve(0.375) and not budget.try_reserve(0.25)
    budget.settle(0.375, 0.0)
    assert budget.try_reserve(0.5)


def test_what_was_booked_as_spent_can_be_settled_after_all():
    budget = Budget(limit_usd=1.0, spent_usd=0.75)
    budget.reopen(0.5)
    assert budget.spent_usd == 0.25 and not budget.try_reserve(0.5)
    budget.settle(0.5, 0.125)
    assert budget.spent_usd == 0.375 and budget.try_reserve(0.5)


def test_a_share_of_prices_is_that_of_every_call():
    prices = Prices(input_usd=2.0, output_usd=10.0).times(0.5)
    assert prices == Prices(input_usd=1.0, output_usd=5.0)
