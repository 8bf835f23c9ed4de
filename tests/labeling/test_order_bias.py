"""Tests of `rlaif_jax.labeling.order_bias`."""

import numpy as np
import pytest

from rlaif_jax.labeling.order_bias import (
    NUM_BLOCKS,
    first_shown_blocks,
    is_flip,
    order_measures,
)

FIRST = ((False, "first"), (True, "first"))  # the same in both orders
SECOND = ((False, "second"), (True, "second"))
SHOWN_FIRST = ((False, "first"), (True, "second"))  # always the one shown first
SHOWN_SECOND = ((False, "second"), (True, "first"))
HALF_TIE = ((False, "tie"), (True, "second"))
BROKEN = ((False, "first"), (True, "failed"))


def measures(judged, calls, **fields):
    made = [judged(i, calls=one, **fields) for i, one in enumerate(calls)]
    return order_measures(made, np.arange(len(made)))


def test_hand_worked_consistency_flips_and_first_position(judged):
    # consistent: 2 of 6 that have both verdicts. Of the flips, HALF_TIE leans neither
    # way, and 2 of the other 3 chose the one shown first. First shown: FIRST 1 0,
    # SECOND 0 1, SHOWN_FIRST 1 1 twice, SHOWN_SECOND 0 0, HALF_TIE - 1, BROKEN 1 -
    calls = [FIRST, SECOND, SHOWN_FIRST, SHOWN_FIRST, SHOWN_SECOND, HALF_TIE, BROKEN]
    found = measures(judged, calls)
    consistency = found["order_consistency"]
    assert (consistency.n, consistency.value) == (6, pytest.approx(2 / 6))
    flips = found["flips_to_first"]
    assert (flips.n, flips.value) == (3, pytest.approx(2 / 3))
    first = found["p_first_shown"]
    assert (first.n, first.value) == (12, pytest.approx(8 / 12))
    assert first.n_prompts == 7


def test_a_critic_of_one_order_has_no_consistency(judged):
    found = measures(judged, [((True, "first"),), ((False, "first"),)])
    assert found["order_consistency"] is None
    assert found["flips_to_first"] is None
    assert found["p_first_shown"].value == 0.5


def test_an_order_that_is_not_known_says_nothing(judged):
    found = measures(judged, [((None, "first"),)] * 3)
    assert set(found.values()) == {None}
    found = order_measures([judged(0), judged(1)], np.arange(2))
    assert set(found.values()) == {None}


def test_drift_is_the_slope_over_the_run(judged):
    # the one shown second up to the middle, the one shown first after it: least
    # squares of 0 0 1 1 on 0, 1/3, 2/3, 1 has the slope (.25 + 1/12) * 2 / (20/36)
    calls = [((False, "second"),)] * 2 + [((False, "first"),)] * 2
    made = [judged(i, calls=one, place=i / 3) for i, one in enumerate(calls)]
    found = order_measures(made, np.arange(4))["p_first_drift"]
    assert found.value == pytest.approx((0.25 + 1 / 12) * 2 / (20 / 36))
    assert found.low < found.value < found.high


def test_drift_of_one_place_is_none(judged):
    found = measures(judged, [FIRST, SECOND], place=0.5)
    assert found["p_first_drift"] is None


def test_tenths_of_the_run_are_told_apart(judged):
    made = [
        judged(i, calls=((False, "first" if i < 20 else "second"),), place=i / 39)
        for i in range(40)
    ]
    blocks = first_shown_blocks(made, np.arange(40))
    assert len(blocks) == NUM_BLOCKS
    assert [block.value for block in blocks] == [1.0] * 5 + [0.0] * 5
    assert sum(block.n for block in blocks) == 40


def test_flips_are_told(judged):
    flips = [
        is_flip(judged(0, calls=calls).calls)
        for calls in (FIRST, SHOWN_FIRST, HALF_TIE, BROKEN, FIRST[:1])
    ]
    assert flips == [False, True, True, False, False]
