"""Tests of `rlaif_jax.study.training_figures`."""

import pytest

from rlaif_jax.study.results import Curve
from rlaif_jax.study.training_figures import learning_figure, rewards_figure


def reward(measure, arm="rlaif_weak", values=(0.0, 1.0, 2.0)):
    return Curve(
        arm=arm,
        seed=0,
        stage="dpo",
        measure=f"rewards/{measure}",
        steps=tuple(range(len(values))),
        values=values,
    )


def test_curves_have_a_panel_a_stage_and_two_lines_a_seed(make_study):
    figure = learning_figure(make_study(seeds=2))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "SFT: loss",
        "DPO: loss",
    ]
    assert [len(axes.lines) for axes in figure.axes] == [8, 8]


def test_rewards_have_a_panel_a_measure_in_a_fixed_order(make_study):
    curves = tuple(map(reward, ("rejected", "accuracies", "margins")))
    figure = rewards_figure(make_study(curves=curves))
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in figure.axes][:3] == [
        "Margin, nats",
        "Chosen ahead, share of pairs",
        "Reward of the rejected, nats",
    ]
    assert not figure.axes[3].get_visible()


def test_the_bold_line_is_a_running_mean_that_skips_what_is_missing(make_study):
    values = [1.0] * 29 + [None] + [3.0] * 30  # 60 points: two on either side
    (panel,) = rewards_figure(
        make_study(curves=(reward("margins", values=tuple(values)),))
    ).axes
    raw, smooth = (list(map(float, line.get_ydata())) for line in panel.lines)
    assert raw[:29] == [1.0] * 29
    assert smooth[10] == pytest.approx(1.0)
    assert smooth[28] == pytest.approx((1 + 1 + 1 + 3) / 4)  # 26..30 without 29
    assert smooth[0] == smooth[26] == pytest.approx(1.0)
    assert smooth[29] != smooth[29]  # not there


def test_a_legend_lists_arms_in_their_order(make_study):
    (legend,) = learning_figure(make_study()).legends
    assert [text.get_text().strip() for text in legend.get_texts()] == [
        "sft_weak",
        "rlaif_weak",
        "sft_strong",
        "rlaif_strong",
    ]
