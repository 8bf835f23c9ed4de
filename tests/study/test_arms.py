"""Tests of `rlaif_jax.study.arms`."""

import pytest

from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.study.arms import ArmConfig, BudgetConfig


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"critic": "strong"}, "go together"),
        ({"critic": "strong", "aif_splits": ["sft"]}, "not both"),
        ({"sft_splits": []}, "teacher and sft_splits go together"),
        ({"sft_splits": [], "teacher": None, "sft_epochs": 2}, "untrained"),
        ({"pairs": "student_student"}, "goes with a critic"),
        ({"loss": {"beta": 0.1}}, "loss goes with"),
        ({"critic": "strong", "aif_splits": ["aif"], "pairs_of": "x"}, "either critic"),
        ({"sft_splits": [], "teacher": None, "max_steps": 3}, "goes with training"),
        ({"sft_epochs": 2, "max_steps": 3}, "give either sft_epochs or max_steps"),
        ({"at_most": {"aif": 3}}, "'aif', which is no split of the arm's own"),
    ],
)
def test_an_arm_must_make_sense(arm, message):
    with pytest.raises(UsageError, match=message):
        validate(ArmConfig, {"teacher": "weak", "sft_splits": ["sft"]} | arm)


def test_a_teacher_writes_nothing_that_only_students_write():
    arm = {"teacher": "weak", "sft_splits": ["sft"], "critic": "c"}
    arm |= {"aif_splits": ["aif"]}
    assert validate(ArmConfig, arm).written_splits == ("sft", "aif")
    alone = validate(ArmConfig, arm | {"pairs": "student_student"})
    assert alone.written_splits == ("sft",)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"match": "usd"}, "budget.usd goes with budget.match=usd"),
        ({"usd": 3}, "budget.usd goes with"),
        ({"match": "device_flops", "usd": 3}, "budget.usd goes with"),
        ({"match": "usd", "usd": 3, "flops": 1e9}, "budget.flops goes with"),
    ],
)
def test_a_budget_has_the_amount_that_it_matches(budget, message):
    with pytest.raises(UsageError, match=message):
        validate(BudgetConfig, budget)
