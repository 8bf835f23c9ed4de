"""Tests of `rlaif_jax.study.bandit_map`."""

import matplotlib.image
import numpy as np
import pytest

from rlaif_jax.config_bandit import BanditConfig
from rlaif_jax.study.bandit_map import draw_sweep, sweep_figure
from rlaif_jax.study.bandit_sweep import AXES, SweepResult, run_sweep


@pytest.mark.parametrize(
    ("sweep", "maps"),
    [
        ({"beta": [0.1, 1]}, 1),
        ({"student_mean": [40, 90], "samples": [10, 100]}, 1),
        ({"student_mean": [40, 90], "teacher_mean": [40, 90], "beta": [1, 2]}, 2),
        ({"student_mean": [40, 90], "student_sd": [3, 9], "beta": [1, 2, 3, 4]}, 4),
    ],
)
def test_every_map_has_its_place(sweep, maps, tmp_path):
    sizes = {"num_pairs": 100, "num_demonstrations": 100, "seeds": [0]}
    steps = {"reward_steps": 2, "sft_steps": 2}
    result = run_sweep(BanditConfig.model_validate({"sweep": sweep} | sizes | steps))
    assert len(result.panels()) == maps

    draw_sweep(result, tmp_path / "map.png")

    height, width = matplotlib.image.imread(tmp_path / "map.png").shape[:2]
    assert width > 600 * min(maps, 3)
    assert height > 500 * np.ceil(maps / 3)


def grid(**values):
    """A sweep whose difference rises along every axis, from below zero."""
    values = {name: values.get(name, (1.0,)) for name in AXES}
    shape = (*(len(one) for one in values.values()), 1)
    rlaif = np.arange(np.prod(shape), dtype=float).reshape(shape) - 1.5
    zeros = np.zeros(shape)
    return SweepResult(
        values=values, rlaif=rlaif, sft=zeros, rlaif_wins=zeros, sft_wins=zeros
    )


@pytest.mark.parametrize(
    ("values", "x_edges", "y_edges"),
    [
        # factors of 10: edges are factors of the root of 10 away
        (
            {"student_mean": (40, 60, 90), "beta": (0.01, 0.1, 1.0)},
            [30, 50, 75, 105],
            10.0 ** np.array([-2.5, -1.5, -0.5, 0.5]),
        ),
        (
            {"beta": (0.1, 1.0), "samples": (100, 10_000)},
            10.0 ** np.array([-1.5, -0.5, 0.5]),
            [10, 1000, 100_000],
        ),
    ],
)
def test_every_value_lies_in_the_middle_of_its_cell(values, x_edges, y_edges):
    axes, *_ = sweep_figure(grid(**values)).axes
    corners = axes.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], x_edges)
    np.testing.assert_allclose(corners[:, 0, 1], y_edges)
    limits = (axes.get_xlim(), axes.get_ylim())
    for (low, high), places in zip(limits, values.values(), strict=True):
        assert low < min(places) < max(places) < high
    assert limits == (
        pytest.approx((x_edges[0], x_edges[-1])),
        pytest.approx((y_edges[0], y_edges[-1])),
    )
