"""True rewards, by hand."""

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.lab.scoring import (
    Score,
    bare_answer,
    has_style,
    is_correct,
    score,
    sentence,
    task_reward,
    true_reward,
)
from rlaif_jax.lab.tasks import Task
from rlaif_jax.records import Completion, Message, Prompt

REVERSE = Task("reverse", ("bado",))  # the truth is "odab"


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("odab", 1.0),
        ("The answer is odab.", 1.2),
        ("The answer is odab", 1.0),  # right, but no full sentence
        ("odab.", 1.0),
        ("odax", 0.3 * 3 / 4),
        ("The answer is odax.", 0.3 * 3 / 4 + 0.2),
        ("odabbbbb", 0.3 * 4 / 8),  # the longer text counts
        ("", 0.0),
        ("The answer is .", 0.2),
    ],
)
def test_the_reward_is_the_one_worked_by_hand(text, reward):
    assert task_reward(REVERSE, text) == pytest.approx(reward)


def test_without_a_style_weight_the_sentence_earns_nothing():
    assert task_reward(REVERSE, "The answer is odab.", style_weight=0.0) == 1.0


def test_an_unfinished_completion_is_penalized():
    assert true_reward("Reverse bado", "odab", "length") == pytest.approx(0.8)
    assert true_reward("Reverse bado", "odab", "stop") == 1.0


def test_a_prompt_of_another_world_has_no_truth():
    with pytest.raises(UsageError, match="What is love"):
        true_reward("What is love?", "odab")


def test_a_sentence_has_style_and_its_bare_answer_has_not():
    assert has_style(sentence("7")) and not has_style("7")
    assert bare_answer(sentence("7")) == bare_answer("7") == "7"
    assert is_correct(REVERSE, sentence("odab")) and is_correct(REVERSE, "odab")
    assert not is_correct(REVERSE, "bado")


def _prompt(text):
    return Prompt.create((Message(role="user", content=text),), source="lab")


def test_score_gives_one_row_a_completion_in_order():
    prompts = [_prompt("Reverse bado"), _prompt("Add 17 and 5")]
    right = Completion.create(prompts[1].prompt_id, "The answer is 22.", generator="g")
    wrong = Completion.create(
        prompts[0].prompt_id, "bado", generator="g", finish_reason="length"
    )
    # "bado" against "odab": no character is in place
    assert score(prompts, [right, wrong]) == [
        Score("add", 1.2, 1.0, 1.0, 17),
        Score("reverse", -0.2, 0.0, 0.0, 4),
    ]
    assert score(prompts, [right], style_weight=0.0)[0].reward == 1.0


def test_a_completion_without_its_prompt_is_refused():
    with pytest.raises(UsageError, match="not among the prompts"):
        score([], [Completion.create("none", "7", generator="g")])
