"""Tests of `rlaif_jax.study.rewards`."""

import pytest

from rlaif_jax.study.results import Curve
from rlaif_jax.study.rewards import final_rewards, learning_curves, reward_curves


def curve(measure, seed, values, arm="rlaif_weak"):
    return Curve(
        arm=arm,
        seed=seed,
        stage="dpo",
        measure=measure,
        steps=tuple(range(len(values))),
        values=tuple(values),
    )


def test_the_end_is_the_last_tenth_of_a_run_and_a_mean_over_seeds(make_study):
    study = make_study(
        curves=(
            curve("rewards/margins", 0, [0.0] * 18 + [1.0, 2.0]),  # 1.5
            curve("rewards/margins", 1, [9.0, 0.5]),  # its last point
        )
    )
    assert final_rewards(study) == {"rlaif_weak": {"rewards/margins": 1.0}}


def test_what_was_not_finite_is_left_out(make_study):
    values = [0.0] * 18 + [float("nan"), 2.0]
    study = make_study(
        curves=(
            curve("rewards/margins", 0, values),
            curve("rewards/chosen", 0, [float("nan")]),
        )
    )
    assert final_rewards(study)["rlaif_weak"] == {"rewards/margins": pytest.approx(2.0)}


def test_every_curve_is_either_a_reward_or_not(make_study):
    curves = (curve("loss", 0, [1.0]), curve("rewards/chosen", 0, [1.0]))
    study = make_study(curves=curves)
    assert learning_curves(study) == [curves[0]]
    assert reward_curves(study) == [curves[1]]
