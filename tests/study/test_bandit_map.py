"""Tests of `rlaif_jax.study.bandit_map`."""

import matplotlib.image
import numpy as np
import pytest

from rlaif_jax.config_bandit import BanditConfig
from rlaif_jax.study.bandit_map import draw_sweep
from rlaif_jax.study.bandit_sweep import run_sweep


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
