"""Tests of `rlaif_jax.labeling.generators`."""

import math

import numpy as np
import pytest

from rlaif_jax.labeling.generators import generator_figures, self_preference

# who was compared, and the probability that the first is better
GAMES = [
    (("a", "b"), 1.0),
    (("b", "a"), 1.0),
    (("a", "b"), 0.5),
    (("a", "c"), 0.75),
    (("c", "b"), None),
    (("a", "a"), 1.0),
]
NOBODY = np.full(len(GAMES), math.nan)


@pytest.fixture
def games(judged):
    return [
        judged(i, writers=writers, p_first=p_first, texts=("x" * (i + 1), "yy"))
        for i, (writers, p_first) in enumerate(GAMES)
    ]


def figures(games, other=NOBODY, own=()):
    found = generator_figures(games, np.arange(len(games)), other=other, own=own)
    return {one.name: one for one in found}


def test_hand_worked_wins(games):
    # a: 1, 0, .5, .75 (itself does not count); b: 0, 1, .5, one dropped; c: .25
    found = figures(games)
    assert found["a"].won.value == pytest.approx(2.25 / 4)
    assert (found["a"].n_wins, found["a"].n_losses, found["a"].n_draws) == (2, 1, 1)
    assert found["b"].won.value == pytest.approx(0.5)
    assert (found["b"].n_dropped, found["a"].n_dropped) == (1, 0)
    assert found["c"].won.value == pytest.approx(0.25)
    # a wrote 1, 2, 3, 4, 6 and 2 characters
    assert found["a"].mean_characters == pytest.approx(18 / 6)


def test_the_one_that_won_most_comes_first_and_the_unjudged_last(games, judged):
    games = [*games, judged(9, writers=("d", "e"), p_first=None)]
    other = np.full(len(games), math.nan)
    found = generator_figures(games, np.arange(len(games)), other=other, own=("b",))
    assert [one.name for one in found] == ["a", "b", "c", "d", "e"]
    assert [one.is_own for one in found] == [False, True, False, False, False]
    assert found[-1].won is None


def test_what_a_critic_likes_beyond_another_judge(games):
    # the judges differ about the first game alone, by one half
    other = np.array([0.5, 1.0, 0.5, 0.75, 1.0, 0.0])
    found = figures(games, other)
    assert found["a"].liked_more.value == pytest.approx(0.5 / 4)
    assert found["b"].liked_more.value == pytest.approx(-0.5 / 3)
    assert found["c"].liked_more is None  # of one prompt
    assert figures(games)["a"].liked_more is None


def test_self_preference_is_of_the_whole_family(games):
    # a and c against b: 1 against .5, then 0 and .5 alike; a against c is inside
    other = np.array([0.5, 1.0, 0.5, 0.0, 1.0, 0.0])
    found = self_preference(games, np.arange(6), other=other, own=("a", "c"))
    assert (found.n, found.value) == (3, pytest.approx(0.5 / 3))
    nobody = self_preference(games, np.arange(6), other=other, own=())
    assert nobody is None


def test_equal_length_is_with_the_generators_own_sign(judged):
    # "long" writes more on either side and wins 3 of 4 of those, and half of the
    # comparisons in which it writes no more
    made = []
    for i in range(80):
        is_first, writes_more = i % 2 == 0, i % 4 < 2
        wins = (i // 4) % 4 < (3 if writes_more else 2)
        texts = ("x" * (40 if writes_more else 10), "y" * 10)
        writers, p_first = ("long", "plain"), float(wins)
        if not is_first:
            texts, writers, p_first = texts[::-1], writers[::-1], 1.0 - p_first
        made.append(judged(i, texts=texts, writers=writers, p_first=p_first))
    other = np.full(80, math.nan)
    found = generator_figures(made, np.arange(80), other=other, own=())
    long, plain = found
    assert long.won.value == pytest.approx(0.625)
    # the model fits both cells, and lengths are equal in one of them
    assert long.equal_length.value == pytest.approx(0.5, abs=1e-9)
    assert plain.equal_length.value == pytest.approx(0.5, abs=1e-9)
