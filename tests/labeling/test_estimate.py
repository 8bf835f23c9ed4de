"""Tests of `rlaif_jax.labeling.estimate`."""

import pytest

from rlaif_jax.labeling.budget import Prices
from rlaif_jax.labeling.estimate import Estimate
from rlaif_jax.records import Message

PRICES = Prices(input_usd=2.0, output_usd=10.0)


def question(text):
    return (Message(role="user", content=text),)


def test_questions_are_counted_and_priced():
    questions = [question("x" * 400), question("y" * 40)]
    estimate = Estimate.of(iter(questions), max_tokens=10, prices=PRICES)
    assert estimate.calls == 2
    # 440 bytes at four, and four around each turn; half of 2 * 10
    assert (estimate.prompt_tokens, estimate.completion_tokens) == (118, 10)
    assert estimate.cost_usd == pytest.approx((118 * 2 + 10 * 10) * 1e-6)
    # a token a byte and 32 around each turn; all of 2 * 10
    assert estimate.at_most_usd == pytest.approx((504 * 2 + 20 * 10) * 1e-6)


def test_the_most_is_what_the_budget_sets_aside():
    questions = [question("x" * n) for n in range(50)]
    estimate = Estimate.of(questions, max_tokens=7, prices=PRICES)
    reserved = sum(PRICES.at_most_usd(one, 7) for one in questions)
    assert estimate.at_most_usd == pytest.approx(reserved)


def test_nothing_to_ask_costs_nothing():
    estimate = Estimate.of((), max_tokens=10, prices=PRICES)
    assert estimate.to_json() == {
        "calls": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost_usd": 0.0,
        "at_most_usd": 0.0,
    }


def test_it_is_told_with_what_it_rests_on():
    told = Estimate.of([question("x" * 4000)], max_tokens=10, prices=PRICES).told()
    assert "1 calls, 1,004 tokens in (at 4 bytes each) and 5 out (at 50%" in told
    # 1004 * 2 + 5 * 10 = 2058; 4032 * 2 + 10 * 10 = 8164
    assert "0.0021 USD; at most 0.0082 USD" in told


def test_a_total_is_the_sum_of_each_at_its_price():
    one = Estimate.of([question("x" * 400)], max_tokens=10, prices=PRICES)
    free = Prices(input_usd=0.0, output_usd=0.0)
    other = Estimate.of([question("y" * 40)] * 2, max_tokens=100, prices=free)
    assert Estimate.total([one, other]).to_json() == {
        "calls": 3,
        "prompt_tokens": 104 + 2 * 14,
        "completion_tokens": 5 + 100,
        "cost_usd": one.cost_usd,
        "at_most_usd": one.at_most_usd,
    }
    assert Estimate.total([]) == Estimate.of((), max_tokens=1, prices=PRICES)
