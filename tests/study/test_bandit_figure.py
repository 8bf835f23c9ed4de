"""Tests of `rlaif_jax.study.bandit_figure`."""

from rlaif_jax.config_bandit import BanditConfig
from rlaif_jax.study.bandit import run_bandit
from rlaif_jax.study.bandit_figure import draw_bandit


def test_the_figure_is_a_picture_and_the_same_for_the_same_run(tmp_path):
    result = run_bandit(
        BanditConfig(num_pairs=300, num_demonstrations=300, reward_steps=3, sft_steps=3)
    )

    for name in ("a.png", "b.png"):
        draw_bandit(result, tmp_path / name)

    picture = (tmp_path / "a.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture == (tmp_path / "b.png").read_bytes()
