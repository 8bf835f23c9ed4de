"""Tests of `rlaif_jax.study.bandit_sweep`."""

import numpy as np
import pytest

from rlaif_jax.config_bandit import BanditConfig
from rlaif_jax.study.bandit import run_bandit
from rlaif_jax.study.bandit_sweep import SweepResult, ahead, run_sweep

SMALL = {
    "num_pairs": 500,
    "num_demonstrations": 400,
    "reward_steps": 9,
    "sft_steps": 9,
    "seeds": (0, 1),
}
GRID = {
    "student_mean": [40, 60],
    "teacher_mean": [70, 80, 90],
    "student_sd": [5, 20],
    "beta": [0.1, 1.0],
}


def swept(**sweep):
    return run_sweep(BanditConfig.model_validate(SMALL | {"sweep": sweep}))


def test_a_point_of_the_grid_is_the_run_with_its_values():
    points = swept(**GRID).to_json()["points"]
    assert len(points) == 2 * 3 * 2 * 2
    point = points[-4]  # of (60, 90): the first of four
    place = {"student_mean": 60, "teacher_mean": 90, "student_sd": 5, "beta": 0.1}
    assert {name: point[name] for name in place} == place

    alone = run_bandit(BanditConfig.model_validate(SMALL | place)).to_json()

    assert point["rlaif"] == pytest.approx(alone["expected_reward"]["rlaif"], abs=1e-3)
    assert point["sft"] == pytest.approx(alone["expected_reward"]["sft"], abs=1e-3)
    for way in ("rlaif", "sft"):
        wins = alone["win_rate_against_teacher"][way]
        assert point[f"{way}_win_rate_against_teacher"] == pytest.approx(wins, abs=1e-3)
    assert point["difference"] == pytest.approx(point["rlaif"] - point["sft"])


def test_numbers_of_samples_are_those_of_both_sides():
    points = swept(samples=[100, 400]).to_json()["points"]
    sizes = {"num_pairs": 100, "num_demonstrations": 100}

    alone = run_bandit(BanditConfig.model_validate(SMALL | sizes)).to_json()

    assert [point["samples"] for point in points] == [100, 400]
    for way in ("rlaif", "sft"):
        reward = alone["expected_reward"][way]
        assert points[0][way] == pytest.approx(reward, abs=1e-3)


def test_beta_moves_rlaif_as_in_the_authors_notebook():
    betas = {0.01: 52.0, 0.05: 52.1, 0.1: 51.8, 0.5: 48.0, 1.0: 44.8}
    sweep = {"beta": list(betas)}
    points = run_sweep(
        BanditConfig.model_validate({"sweep": sweep, "seeds": (0, 1), "sft_steps": 1})
    ).to_json()["points"]

    for point in points:  # below 0.1 one action takes nearly all: seeds differ by 0.7
        room = 1.5 if point["beta"] < 0.1 else 0.2
        assert point["rlaif"] == pytest.approx(betas[point["beta"]], abs=room)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ([-1.0, -3.0, -2.0], []),
        ([1.0, 3.0, 2.0], [(0, 30)]),
        ([-1.0, 1.0, 2.0], [(5.0, 30)]),  # halfway from 0 to 10
        ([1.0, -1.0, -2.0], [(0, 5.0)]),
        ([-1.0, 3.0, -1.0], [(2.5, 25.0)]),  # a quarter up, three quarters down
        ([0.0, 1.0, 1.0], [(0.0, 30)]),
    ],
)
def test_the_border_is_where_straight_lines_cross_zero(difference, expected):
    assert ahead((0, 10, 30), np.array(difference), logarithmic=False) == expected


def test_the_border_over_factors_is_at_their_geometric_mean():
    (found,) = ahead((1, 100), np.array([-1.0, 1.0]), logarithmic=True)
    assert found == (pytest.approx(10.0), 100)


def made_up(difference, **values):
    axes = ("student_mean", "teacher_mean", "student_sd", "beta", "samples")
    listed = {name: values.get(name, (1.0,)) for name in axes}
    shape = [*(len(listed[name]) for name in axes), 1]
    grid = np.asarray(difference, float).reshape(shape)
    zero = np.zeros_like(grid)
    return SweepResult(
        values=listed, rlaif=grid, sft=zero, rlaif_wins=zero, sft_wins=zero
    )


def sentences(result):
    return [border["sentence"] for border in result.to_json()["border"]]


def test_a_sentence_says_where_the_border_lies():
    result = made_up(
        # rows: student 40, 60; columns: teacher 50, 70, 90
        [[1, -1, -1], [2, 3, -2]],
        student_mean=(40.0, 60.0),
        teacher_mean=(50.0, 70.0, 90.0),
    )

    assert sentences(result) == [
        "RLAIF's expected reward is above SFT's everywhere (student_mean 40 to 60)"
        " where teacher_mean is 50; from student_mean 45 on where teacher_mean is 70;"
        " nowhere (student_mean 40 to 60) where teacher_mean is 90."
    ]
    assert result.to_json()["ahead"] == 0.5


def test_a_border_across_all_rows_is_told_by_its_ends():
    result = made_up(
        [[-1, -1, -1], [1, 3, 9]],
        student_mean=(40.0, 60.0),
        teacher_mean=(50.0, 70.0, 90.0),
    )

    assert sentences(result) == [
        "RLAIF's expected reward is above SFT's from student_mean 50 on where"
        " teacher_mean is 50, to 42 on where it is 90."
    ]


def test_what_varies_beyond_two_things_makes_maps_of_their_own():
    result = made_up([[1, -1], [-1, 1]], student_mean=(40.0, 60.0), beta=(0.1, 1.0))
    assert [panel.given for panel in result.panels()] == [{}]

    result = made_up(
        np.arange(8) - 3.5,
        student_mean=(40.0, 60.0),
        student_sd=(5.0, 9.0),
        samples=(10, 100),
    )

    assert [panel.given for panel in result.panels()] == [
        {"samples": 10},
        {"samples": 100},
    ]
    # a map has y in rows and x in columns
    first = result.panels()[0]
    assert (first.x, first.y) == ("student_mean", "student_sd")
    assert first.difference.tolist() == [[-3.5, 0.5], [-1.5, 2.5]]
    assert sentences(result)[1].startswith("With samples 100, RLAIF's expected")


def test_one_thing_that_varies_is_told_without_another():
    result = made_up([-1, 1, -1], student_mean=(0.0, 10.0, 20.0))

    assert sentences(result) == [
        "RLAIF's expected reward is above SFT's from student_mean 5 to 15."
    ]
