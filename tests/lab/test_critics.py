"""Critics have the accuracy they say."""

from random import Random

import pytest

from rlaif_jax.lab.critics import Critic
from rlaif_jax.lab.families import FAMILIES
from rlaif_jax.lab.scoring import sentence
from rlaif_jax.lab.tasks import answer, draw_instruction, mistakes, parse
from rlaif_jax.lab.teachers import Teacher
from rlaif_jax.lab.variants import VARIANTS, critics, teachers

NUM_PROMPTS = 2400


@pytest.fixture(scope="module")
def prompts():
    random = Random(1)
    count = NUM_PROMPTS // len(FAMILIES)
    return [draw_instruction(random, f, "test") for f in FAMILIES for _ in range(count)]


@pytest.mark.parametrize("accuracy", [0.95, 0.70])
def test_the_better_text_is_preferred_as_often_as_the_accuracy_says(prompts, accuracy):
    critic = Critic(name="c", accuracy=accuracy)
    hits = 0
    for number, prompt in enumerate(prompts):
        better, worse = answer(parse(prompt)), mistakes(parse(prompt))[0]
        if number % 2:
            hits += critic.prefers_first(prompt, better, worse)
        else:
            hits += not critic.prefers_first(prompt, worse, better)
    # four standard errors: 4 * sqrt(.7 * .3 / 2400) = .037, and less at .95
    assert hits / len(prompts) == pytest.approx(accuracy, abs=0.038)


def test_showing_the_texts_the_other_way_round_turns_the_verdict_round(prompts):
    critic = Critic(name="c", accuracy=0.70)
    for prompt in prompts[:300]:
        a, b = answer(parse(prompt)), mistakes(parse(prompt))[1]
        assert critic.prefers_first(prompt, a, b) != critic.prefers_first(prompt, b, a)


@pytest.mark.parametrize("accuracy", [0.95, 0.70])
def test_it_is_as_sure_of_what_it_says_as_it_is_often_right(prompts, accuracy):
    critic = Critic(name="c", accuracy=accuracy)
    for prompt in prompts[:300]:
        a, b = answer(parse(prompt)), mistakes(parse(prompt))[1]
        p = critic.p_first(prompt, a, b)
        assert max(p, 1.0 - p) == accuracy
        assert (p > 0.5) == critic.prefers_first(prompt, a, b)
        assert critic.p_first(prompt, b, a) == pytest.approx(1.0 - p)
        assert critic.p_first(prompt, a, a) == 0.5


def test_a_tie_is_settled_the_same_way_in_both_orders_and_evenly_over_pairs(prompts):
    critic = Critic(name="c", accuracy=0.95, style_weight=0.0)
    firsts = 0
    for prompt in prompts:
        a = answer(parse(prompt))
        verdict = critic.prefers_first(prompt, a, sentence(a))
        assert verdict != critic.prefers_first(prompt, sentence(a), a)
        firsts += verdict
    # four standard errors: 4 * sqrt(.25 / 2400) = .041
    assert firsts / len(prompts) == pytest.approx(0.5, abs=0.041)


def test_style_counts_as_much_as_its_weight():
    prompt, bare = "Reverse bado", "odab"
    with_style = Critic(name="c", accuracy=1.0)
    assert with_style.prefers_first(prompt, sentence(bare), bare)
    assert not with_style.prefers_first(prompt, sentence("bado"), bare)


def test_identical_texts_get_a_verdict_that_repeats():
    critic = Critic(name="c", accuracy=0.5)
    assert critic.prefers_first("Reverse bado", "x", "x")


def test_position_bias_takes_the_first_text_unread(prompts):
    blind = Critic(name="c", accuracy=1.0, position_bias=1.0)
    assert all(blind.prefers_first(prompt, "", "odab") for prompt in prompts[:50])
    half = Critic(name="c", accuracy=1.0, position_bias=0.5)
    taken = 0
    for prompt in prompts:
        taken += half.prefers_first(prompt, "", sentence(answer(parse(prompt))))
    assert taken / len(prompts) == pytest.approx(0.5, abs=0.041)


def test_an_unknown_instruction_is_settled_like_a_tie():
    critic = Critic(name="c", accuracy=0.95)
    verdict = critic.prefers_first("What is love?", "x", "y")
    assert verdict != critic.prefers_first("What is love?", "y", "x")


def _win_rate(prompts, candidate, baseline, seed):
    evaluator = critics(VARIANTS["default"])["lab-evaluator"]
    wins = 0.0
    for prompt in prompts:
        ours = candidate.complete(prompt, seed=seed)
        theirs = baseline.complete(prompt)
        if ours == theirs:
            wins += 0.5
        else:
            wins += evaluator.prefers_first(prompt, ours, theirs)
    return 100 * wins / len(prompts)


# per cent, of the prototype at 20k tasks; four standard errors here: at most 4.1
@pytest.mark.parametrize(
    ("skill", "style", "expected"),
    [(0.55, 0.40, 50.4), (0.95, 0.95, 81.0), (1.0, 1.0, 84.7), (0.70, 0.50, 59.1)],
)
def test_win_rates_of_teachers_are_those_of_the_prototype(
    prompts, skill, style, expected
):
    weak = teachers(VARIANTS["default"])["lab-teacher-weak"]
    candidate = Teacher(name="candidate", skill=skill, style=style)
    assert _win_rate(prompts, candidate, weak, seed=1) == pytest.approx(
        expected, abs=4.1
    )
