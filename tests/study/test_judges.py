"""Tests of `rlaif_jax.study.judges`."""

from pathlib import Path

import pytest

import rlaif_jax.lab
from rlaif_jax.config_file import load_config
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.judges import self_judged, self_judged_warning

LAB = Path(rlaif_jax.lab.__file__).parent / "study.yaml"
STRONG = "lab-critic-strong"


@pytest.fixture
def judged_twice():
    def judged_twice(*overrides):
        return self_judged(load_config(StudyConfig, [str(LAB), *overrides]))

    return judged_twice


def test_an_evaluator_of_its_own_needs_no_warning(judged_twice):
    assert judged_twice() == ()


def test_the_critic_as_evaluator_is_named(judged_twice):
    assert judged_twice(f"evaluation.evaluator.model={STRONG}") == (STRONG,)
    assert STRONG in self_judged_warning((STRONG,))


def test_a_further_evaluator_counts_too(judged_twice):
    seat = "{api: openai, base_url: http://127.0.0.1:1/v1, model: %s}"
    for model, expected in ((STRONG, (STRONG,)), ("another", ())):
        found = judged_twice(f"evaluation.evaluators=[{seat % model}]")
        assert found == expected


def test_a_critic_that_no_arm_uses_may_evaluate(judged_twice):
    unused = "critics.idle={api: openai, base_url: http://127.0.0.1:1/v1, model: idle}"
    assert judged_twice(unused, "evaluation.evaluator.model=idle") == ()


def test_a_seat_of_a_jury_is_a_critic(judged_twice):
    seats = ", ".join(
        f"{{api: openai, base_url: http://127.0.0.1:1/v1, model: {name}}}"
        for name in ("one", "two")
    )
    jury = f"critics.strong={{api: jury, critics: [{seats}]}}"
    assert judged_twice(jury, "evaluation.evaluator.model=two") == ("two",)
