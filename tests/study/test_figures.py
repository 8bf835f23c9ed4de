"""Tests of `rlaif_jax.study.figures`."""

import pytest

from rlaif_jax.figures import png_bytes
from rlaif_jax.study.figures import (
    NARROW,
    arm_colors,
    curves_figure,
    differences_figure,
    price_figure,
    win_rate_figure,
)


def test_every_arm_has_a_bar_an_interval_and_a_dot_a_seed(make_study):
    study = make_study(seeds=3)
    axes = win_rate_figure(study).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([r.value for r in study.win_rates().values()])
    dots = [c.get_offsets() for c in axes.collections if len(c.get_offsets()) == 3]
    assert len(dots) == 4


def test_a_dot_is_the_win_rate_of_its_seed(make_study):
    study = make_study(seeds=1)
    axes = win_rate_figure(study).axes[0]
    rate = study.win_rates()["sft_weak"].value
    heights = [float(c.get_offsets()[0][1]) for c in axes.collections[2::3]]
    assert heights[0] == pytest.approx(rate)


def test_long_names_break_into_lines(make_study):
    axes = win_rate_figure(make_study(), width=2.0).axes[0]
    assert "\n" in axes.get_xticklabels()[3].get_text()


def test_differences_are_drawn_the_positive_way_round(make_study):
    study = make_study()
    axes = differences_figure(study).axes[0]
    assert len(axes.get_yticklabels()) == 6
    drawn = [
        float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"
    ]
    assert min(drawn) >= 0


def test_the_price_of_an_arm_is_where_its_dot_is(make_study):
    study = make_study()
    dots = [line for line in price_figure(study).axes[0].lines]
    prices = [float(dot.get_xdata()[0]) for dot in dots]
    assert prices == pytest.approx([b.making_usd for b in study.bills().values()])


def test_curves_have_a_panel_a_stage_and_a_line_a_seed(make_study):
    figure = curves_figure(make_study(seeds=2))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "sft: loss",
        "dpo: loss",
    ]
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]


@pytest.mark.parametrize(
    "draw", [win_rate_figure, differences_figure, price_figure, curves_figure]
)
def test_every_figure_can_be_drawn_for_a_phone(make_study, draw):
    assert png_bytes(draw(make_study(), width=NARROW)).startswith(b"\x89PNG")


def test_colors_are_a_function_of_the_arms_order(make_study):
    assert len(set(arm_colors(make_study()).values())) == 4


@pytest.mark.parametrize(
    "name", ["x" * 200, "many words " * 20, "$\\frac$", "_hidden", "a$b", "<b>\x1b"]
)
@pytest.mark.parametrize("width", [NARROW, 7.6])
def test_any_name_can_be_drawn(make_study, name, width):
    study = make_study()
    first, *others = study.arms
    arms = {name: study.arms[first]} | {arm: study.arms[arm] for arm in others}
    stages = tuple(
        stage.model_copy(update={"arms": (name, *others)}) for stage in study.stages
    )
    curves = tuple(
        curve.model_copy(update={"arm": name, "measure": name})
        for curve in study.curves
    )
    odd = study.model_copy(update={"arms": arms, "stages": stages, "curves": curves})
    for draw in (win_rate_figure, differences_figure, price_figure, curves_figure):
        figure = draw(odd, width=width)
        figure.draw_without_rendering()


def test_a_legend_lists_arms_in_their_order(make_study):
    (legend,) = curves_figure(make_study()).legends
    assert [text.get_text().strip() for text in legend.get_texts()] == [
        "sft_weak",
        "rlaif_weak",
        "sft_strong",
        "rlaif_strong",
    ]
