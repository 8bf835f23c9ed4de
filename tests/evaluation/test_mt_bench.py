"""Tests of `rlaif_jax.evaluation.mt_bench`."""

import math

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.mt_bench import disagreement, outcomes, ratings, wins
from rlaif_jax.records import Grade


def grade(question_id, turn, value, category="math", order=""):
    return Grade(
        question_id=question_id,
        category=category,
        turn=turn,
        order=order,
        value=value,
        state="graded",
        grader="judge",
        grader_returned_model="judge",
        template_hash="",
        reply="",
    )


def both(question_id, turn, ab, ba):
    return [
        grade(question_id, turn, ab, order="ab"),
        grade(question_id, turn, ba, order="ba"),
    ]


def test_hand_worked_ratings():
    # questions 1 (4, 6), 2 (8, 8), 3 (10, none): mean 36 / 5 = 7.2. Influences by
    # question (10 - 14.4, 16 - 14.4, 10 - 7.2) / 5 = -.88, .32, .56, their squares
    # .7744 + .1024 + .3136 = 1.1904, times 3 / 2
    found = ratings(
        [
            grade(1, 1, 4.0, "writing"),
            grade(1, 2, 6.0, "writing"),
            grade(2, 1, 8.0),
            grade(2, 2, 8.0),
            grade(3, 1, 10.0),
            grade(3, 2, None),
        ]
    )
    assert found.overall.mean == pytest.approx(7.2)
    assert found.overall.standard_error == pytest.approx(math.sqrt(1.1904 * 1.5))
    assert (found.overall.n, found.overall.n_dropped) == (5, 1)
    assert found.turns["1"].mean == pytest.approx(22 / 3)
    assert found.turns["2"].mean == 7.0
    assert list(found.categories) == ["writing", "math"]
    assert found.categories["writing"].standard_error is None  # one question


def test_a_turn_is_won_only_in_both_orders():
    grades = [
        *both(1, 1, 1.0, 1.0),
        *both(1, 2, 1.0, 0.0),
        *both(2, 1, 0.0, 0.0),
        *both(2, 2, 1.0, 0.5),
        *both(3, 1, 1.0, None),
    ]
    assert list(outcomes(grades).values()) == [1.0, 0.5, 0.0, 0.5, None]
    found = wins(grades)
    assert found.overall.mean == 50.0
    assert (found.overall.n, found.overall.n_dropped) == (4, 1)
    assert disagreement(grades) == 0.5  # two of the four with both orders


def test_a_category_without_grades_is_left_out():
    found = ratings([grade(1, 1, 4.0), grade(2, 1, None, "coding")])
    assert list(found.categories) == ["math"]


def test_nothing_graded_is_refused():
    with pytest.raises(UsageError, match="none of 1 turns"):
        ratings([grade(1, 1, None)])
    assert disagreement([grade(1, 1, None, order="ab")]) is None
