"""Tests of `rlaif_jax.training.alarms`."""

import math

import pytest

from rlaif_jax.training.alarms import RULES, WINDOW_STEPS, Watch

HEALTHY = {
    "loss": 0.6,
    "grad_norm": 1.0,
    "log_ratio/chosen": -0.05,
    "rewards/margins": 0.2,
    "rewards/accuracies": 0.7,
    "rewards/length_correlation": 0.3,
    "lengths/chosen": 200.0,
    "lengths/rejected": 150.0,
    "pairs/identical": 0.0,
    "ends_with_eos/chosen": 0.9,
    "logps/chosen": -100.0,
}
SICK = {
    "chosen_falling": {"log_ratio/chosen": -0.8, "rewards/margins": 3.0},
    "length_drift": {"rewards/length_correlation": 0.8},
    "all_ties": {"rewards/margins": 1e-7},
    "saturated": {"loss": 0.001, "rewards/accuracies": 1.0},
    "no_ends": {"ends_with_eos/chosen": 0.0},
}


def history(change, *, steps=3 * WINDOW_STEPS):
    """A run that falls ill after its first window."""
    lines = [HEALTHY] * WINDOW_STEPS + [HEALTHY | change] * (steps - WINDOW_STEPS)
    return list(enumerate(lines, 1))


def rung(lines):
    watch = Watch()
    return [alarm for step, line in lines for alarm in watch.update(step, line)]


def test_a_healthy_run_is_quiet():
    assert rung(history({})) == []


def test_every_rule_has_a_case():
    assert SICK.keys() == RULES.keys()


@pytest.mark.parametrize("name", SICK)
def test_each_alarm_rings_once_and_for_its_cause_alone(name):
    (alarm,) = rung(history(SICK[name]))
    assert alarm.name == name
    assert WINDOW_STEPS < alarm.step <= 2 * WINDOW_STEPS


def test_falling_log_probabilities_without_growing_margins_are_no_displacement():
    assert rung(history({"log_ratio/chosen": -0.8, "rewards/margins": 0.1})) == []


def test_without_a_reference_the_fall_is_against_the_first_steps():
    def without_reference(line):
        return {k: v for k, v in line.items() if k != "log_ratio/chosen"}

    # 200 tokens: from 0.5 to 1.1 nats a token
    change = {"logps/chosen": -220.0, "rewards/margins": 3.0}
    lines = [(step, without_reference(line)) for step, line in history(change)]
    (alarm,) = rung(lines)
    assert alarm.name == "chosen_falling"
    # completions that are twice as long have half the log-probability
    longer = {"logps/chosen": -200.0, "lengths/chosen": 400.0}
    change = longer | {"lengths/rejected": 300.0, "rewards/margins": 3.0}
    assert rung([(s, without_reference(x)) for s, x in history(change)]) == []


def test_pairs_of_equal_tokens_ring_whatever_rounding_makes_of_them():
    noisy = {"pairs/identical": 1.0, "rewards/margins": 0.01}
    (alarm,) = rung(history(noisy))
    assert alarm.name == "all_ties"
    assert "same tokens on both sides" in alarm.message


def test_the_preference_is_saturated_whatever_else_is_in_the_loss():
    first = {"loss": 5.0, "loss/preference": 0.7, "rewards/accuracies": 1.0}
    later = first | {"loss": 4.0, "loss/preference": 0.001}
    lines = [HEALTHY | first] * WINDOW_STEPS + [HEALTHY | later] * 2 * WINDOW_STEPS
    (alarm,) = rung(list(enumerate(lines, 1)))
    assert alarm.name == "saturated"


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_skipped_step_is_no_evidence(missing):
    lines = history(SICK["all_ties"])
    sparse = [
        (step, line | {"rewards/margins": missing} if step % 10 == 0 else line)
        for step, line in lines
    ]
    assert rung(sparse) == []


def test_supervised_runs_know_one_alarm():
    lines = [(step, {"loss": 1.0}) for step in range(1, 100)]
    assert rung(lines) == []
    lines = [(step, line | {"ends_with_eos/chosen": 0.0}) for step, line in lines]
    assert [alarm.name for alarm in rung(lines)] == ["no_ends"]
