"""Tests of `rlaif_jax.labeling.canaries`."""

import numpy as np
import pytest

from rlaif_jax.labeling.canaries import (
    canary_measures,
    is_half_empty,
    is_identical,
)


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
