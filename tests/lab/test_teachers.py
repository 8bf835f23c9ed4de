"""Teachers have the skill and style they say."""

from random import Random

import pytest

from rlaif_jax.lab.families import FAMILIES
from rlaif_jax.lab.scoring import bare_answer, has_style, is_correct
from rlaif_jax.lab.tasks import draw_instruction, mistakes, parse
from rlaif_jax.lab.teachers import DO_NOT_KNOW, Teacher

NUM_PROMPTS = 2400


@pytest.fixture(scope="module")
def prompts():
    random = Random(0)
    count = NUM_PROMPTS // len(FAMILIES)
    return [
        draw_instruction(random, f, "train") for f in FAMILIES for _ in range(count)
    ]


# four standard errors at 2400 prompts are at most 4 * sqrt(.25 / 2400) = .041
@pytest.mark.parametrize(("skill", "style"), [(0.55, 0.40), (0.95, 0.95)])
def test_skill_and_style_are_the_shares_they_say(prompts, skill, style):
    teacher = Teacher(name="t", skill=skill, style=style)
    texts = [teacher.complete(prompt) for prompt in prompts]
    tasks = [parse(prompt) for prompt in prompts]
    correct = sum(is_correct(*pair) for pair in zip(tasks, texts, strict=True))
    assert correct / len(prompts) == pytest.approx(skill, abs=0.041)
    assert sum(map(has_style, texts)) / len(prompts) == pytest.approx(style, abs=0.041)


def test_mistakes_are_the_familys_two_in_the_ratio_seventy_to_thirty(prompts):
    teacher = Teacher(name="t", skill=0.0, style=0.5)
    kinds = [
        mistakes(parse(prompt)).index(bare_answer(teacher.complete(prompt)))
        for prompt in prompts
    ]
    # four standard errors: 4 * sqrt(.21 / 2400) = .037
    assert kinds.count(0) / len(prompts) == pytest.approx(0.7, abs=0.038)


def test_the_same_request_gets_the_same_completion_in_any_order(prompts):
    teacher = Teacher(name="t", skill=0.5, style=0.5)
    forward = [teacher.complete(prompt) for prompt in prompts[:200]]
    backward = [teacher.complete(prompt) for prompt in reversed(prompts[:200])]
    assert forward == backward[::-1]


def test_seeds_and_names_draw_anew(prompts):
    teacher = Teacher(name="t", skill=0.5, style=0.5)
    other = Teacher(name="u", skill=0.5, style=0.5)
    texts = [teacher.complete(prompt) for prompt in prompts[:200]]
    assert texts != [teacher.complete(prompt, seed=1) for prompt in prompts[:200]]
    assert texts != [other.complete(prompt) for prompt in prompts[:200]]


def test_what_is_no_task_is_not_known():
    teacher = Teacher(name="t", skill=1.0, style=1.0)
    assert teacher.complete("What is love?") == DO_NOT_KNOW
