"""Forms of MT-bench are read back and graded by the truth."""

import pytest

from rlaif_jax.lab.critics import Critic
from rlaif_jax.lab.grading import grade
from rlaif_jax.labeling.grading import read_rating, read_verdict
from rlaif_jax.labeling.grading_forms import own_forms

SURE = Critic(name="sure", accuracy=1.0)
QUESTION = "What is 2 + 3?"
RIGHT, BARE, WRONG = "The answer is 5.", "5", "8"


def single(answer, turn=1, critic=SURE):
    texts = {"question_1": QUESTION, "answer_1": answer}
    if turn == 2:
        texts = {"question_1": "Reverse abc", "answer_1": "x"}
        texts |= {"question_2": QUESTION, "answer_2": answer}
    form = own_forms("single")[turn, False]
    return read_rating(grade(critic, form.messages(texts)[-1].content))


def pairwise(a, b):
    form = own_forms("pairwise")[1, True]
    texts = {"question_1": QUESTION, "reference_1": "5"}
    texts |= {"answer_a_1": a, "answer_b_1": b}
    return read_verdict(grade(SURE, form.messages(texts)[-1].content))


@pytest.mark.parametrize("turn", [1, 2])
def test_a_rating_follows_the_reward_of_the_last_answer(turn):
    # rewards 1.2, 1.0, 0 of 1.2: 1 + 9, 7.5 and 0, rounded to even
    found = [single(text, turn) for text in (RIGHT, BARE, WRONG)]
    assert found == [10, 9, 1]


def test_a_critic_that_errs_is_off_by_two():
    errs = Critic(name="errs", accuracy=0.0)
    assert single(BARE, critic=errs) in (7, 10)
    assert single(BARE, critic=errs) == single(BARE, critic=errs)


def test_the_better_answer_wins_and_equal_ones_draw():
    assert (pairwise(RIGHT, WRONG), pairwise(WRONG, RIGHT)) == (0.0, 1.0)
    assert pairwise(RIGHT, RIGHT) == 0.5


def test_other_texts_are_no_form():
    assert grade(SURE, "Hello") is None
    assert grade(SURE, "[[[question 1 x\nHello\nx]]]") is None
