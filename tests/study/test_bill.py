"""Tests of `rlaif_jax.study.bill`."""

import shlex

import pytest

from rlaif_jax.study.bill import Spend, Stage, arm_bill, total_bill


def stage(stage_id, arms, role, cost, **device):
    spend = Spend(calls=10, prompt_tokens=100, completion_tokens=5, cost_usd=cost)
    return Stage(
        stage_id=stage_id, kind="x", arms=arms, spend={role: spend}, device_s=device
    )


STAGES = (
    stage("shared", ("a", "b"), "teacher", 2.0, training=30.0),
    stage("label", ("b",), "critic", 3.0, sampling=4.0),
    stage("judge-a", ("a",), "evaluator", 0.5, sampling=1.0),
    stage("judge-b", ("b",), "evaluator", 0.5, sampling=1.0),
)


def test_a_shared_stage_is_in_the_bill_of_every_arm_that_uses_it():
    assert arm_bill(STAGES, "a").all_roles.cost_usd == pytest.approx(2.5)
    assert arm_bill(STAGES, "b").all_roles.cost_usd == pytest.approx(5.5)


def test_a_shared_stage_is_in_the_total_once():
    total = total_bill(STAGES)
    assert total.all_roles == Spend(
        calls=40, prompt_tokens=400, completion_tokens=20, cost_usd=6.0
    )
    assert total.device_s == {"training": 30.0, "sampling": 6.0}


def test_the_evaluator_is_no_part_of_what_a_policy_costs_to_make():
    assert arm_bill(STAGES, "b").making_usd == pytest.approx(5.0)
    assert arm_bill(STAGES, "b").total_device_s == pytest.approx(35.0)


def test_an_arm_without_stages_costs_nothing():
    bill = arm_bill(STAGES, "unknown")
    assert (bill.making_usd, bill.total_device_s) == (0, 0)
    assert bill.all_roles == Spend()


def test_an_arm_pays_for_what_it_needs_of_a_teacher_who_wrote_for_others_too():
    tenth = Spend(calls=1, prompt_tokens=10, completion_tokens=1, cost_usd=0.2)
    wrote = STAGES[0].model_copy(update={"shares": {"a": tenth}})
    assert arm_bill([wrote], "a").making_usd == pytest.approx(0.2)
    assert arm_bill([wrote], "b").making_usd == pytest.approx(2.0)
    assert total_bill([wrote]).making_usd == pytest.approx(2.0)


def test_flops_of_training_add_up():
    trained = [
        Stage(stage_id=name, kind="sft", arms=("a",), flops=flops)
        for name, flops in (("one", 2e9), ("two", 3e9))
    ]
    assert arm_bill(trained, "a").flops == 5e9
    assert arm_bill(trained, "b").flops == 0


def test_a_stage_tells_how_to_run_it_alone():
    made = Stage(stage_id="sft-1", kind="sft", arms=(), folder="runs/my study/sft-1")
    assert made.command == (
        "rlaif-jax sft 'runs/my study/sft-1/config.json' --out again/sft-1"
    )


def test_a_folder_in_the_home_stays_one_in_the_shell():
    made = Stage(stage_id="sft-1", kind="sft", arms=(), folder="~/.cache/a b/sft-1")
    assert shlex.split(made.command)[2] == "~/.cache/a b/sft-1/config.json"
    assert " ~/'.cache/a b/" in made.command  # a quoted tilde is not expanded
