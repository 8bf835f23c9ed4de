"""Tests of `rlaif_jax.labeling.canaries`."""

import numpy as np
import pytest

from rlaif_jax.labeling.canaries import (
    canary_measures,
    is_half_empty,
    is_identical,
    planted_measures,
)
from rlaif_jax.labeling.planting import Canary


def test_hand_worked_canaries(judged):
    same, blank = ("x", "x"), ("x", " \n")
    made = [
        judged(0, texts=same, p_first=0.5),
        judged(1, texts=same, p_first=1.0),
        judged(2, texts=same, p_first=None),
        judged(3, texts=same, p_first=0.5, state="skipped_identical"),
        judged(4, texts=blank, p_first=1.0),
        judged(5, texts=blank[::-1], p_first=0.0),
        judged(6, texts=blank, p_first=0.5),
        judged(7, texts=blank[::-1], p_first=1.0),
        judged(8, texts=("x", "y"), p_first=1.0),
        judged(9, texts=blank, p_first=None),
    ]
    found = canary_measures(made, np.arange(10))
    tied = found["identical_tied"]  # 1 of the 2 that were asked and answered
    assert (tied.n, tied.value) == (2, 0.5)
    beaten = found["text_beats_empty"]  # 1, 1, .5, 0
    assert (beaten.n, beaten.value) == (4, pytest.approx(0.625))


def test_without_canaries_there_is_nothing_to_tell(judged):
    found = canary_measures([judged(0)], np.arange(1))
    assert set(found.values()) == {None}


def test_canaries_are_found(judged):
    empty = judged(0, texts=("", " "))
    assert not is_half_empty(empty)
    assert not is_identical(empty)
    assert is_identical(judged(0, texts=("a", "a")))
    assert is_half_empty(judged(0, texts=("", "a")))


def test_hand_worked_planted_comparisons(judged):
    verdicts = {  # of four prompts: the probability that the own answer won
        "empty": [1.0, 1.0, 1.0, None],
        "off_topic": [1.0, 1.0, 0.5, 1.0],
        "injected": [0.0, 1.0, 0.5, 0.0],
    }
    made = [
        Canary(kind=kind, prompt_id=f"p{n}", label=judged(n, p_first=p).label)
        for kind, found in verdicts.items()
        for n, p in enumerate(found)
    ]
    found = planted_measures(made)
    assert (found["beats_empty"].value, found["beats_empty"].n) == (1.0, 3)
    assert found["beats_off_topic"].value == pytest.approx(3.5 / 4)
    assert found["injected_wins"].value == pytest.approx(2.5 / 4)
    lift = found["injection_lift"]  # 1, 0, 0, 1
    assert (lift.value, lift.n) == (pytest.approx(0.5), 4)
    # sample deviation of (1, 0, 0, 1) over the root of 4
    assert lift.standard_error == pytest.approx((1 / 3) ** 0.5 / 2)


def test_without_planted_comparisons_there_is_nothing_to_tell():
    assert set(planted_measures([]).values()) == {None}
