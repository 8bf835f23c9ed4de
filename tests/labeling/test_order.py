"""Tests of `rlaif_jax.labeling.order`."""

import pytest

from rlaif_jax.labeling.order import is_switched, shown_orders

# recomputed from stored outputs of alpaca_eval: paper_facts.md 5.4
SWITCHED = {
    "2+2": False,
    "Hello": False,
    "What is the capital of France?": False,
    "Write a haiku about autumn.": True,
    "a": True,
    "b": True,
    "c": False,
    "d": False,
}


@pytest.mark.parametrize("instruction", SWITCHED)
def test_hashed_order_is_alpaca_evals(instruction):
    assert is_switched(instruction) is SWITCHED[instruction]


def test_both_orders_start_with_the_stored_one():
    assert shown_orders("both", "a") == (False, True)


def test_hashed_orders_ask_once():
    assert shown_orders("hashed", "a") == (True,)
    assert shown_orders("hashed", "c") == (False,)
