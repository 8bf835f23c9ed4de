"""Tests of `rlaif_jax.study.figures`."""

import pytest

from rlaif_jax.figures import png_bytes
from rlaif_jax.study.cost_figure import cost_figure
from rlaif_jax.study.drawing import NARROW
from rlaif_jax.study.figures import differences_figure, win_rate_figure
from rlaif_jax.study.training_figures import learning_figure, rewards_figure

DRAWINGS = (
    *(win_rate_figure, differences_figure, cost_figure),
    *(learning_figure, rewards_figure),
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
    axes = win_rate_figure(make_study(), width=NARROW).axes[0]
    assert "\n" in axes.get_xticklabels()[3].get_text()


def test_differences_are_drawn_the_positive_way_round(make_study):
    study = make_study()
    axes = differences_figure(study).axes[0]
    assert len(axes.get_yticklabels()) == 6
    drawn = [
        float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"
    ]
    assert min(drawn) >= 0


@pytest.mark.parametrize("names", [10, 7])
def test_many_arms_lie_below_each_other_with_their_whole_names(make_study, names):
    study = make_study(stages=(), curves=(), claims={}, headline=None)
    arm = study.arms["sft_weak"]
    arms = {f"an arm with a rather long name, {i}": arm for i in range(names)}
    axes = win_rate_figure(study.model_copy(update={"arms": arms})).axes[0]
    written = [text.get_text() for text in axes.texts]
    assert written[1::2] == list(arms)  # after the win rate of each
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(
        [study.win_rates()["sft_weak"].value] * names
    )


def test_names_too_long_for_their_bars_lie_too(make_study):
    study = make_study(stages=(), curves=(), claims={}, headline=None)
    axes = win_rate_figure(study, width=NARROW).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()][3] == "rlaif_\nstrong"
    first, *others = study.arms
    arms = {"an unutterablylongname": study.arms[first]}
    arms |= {name: study.arms[name] for name in others}
    axes = win_rate_figure(study.model_copy(update={"arms": arms}), width=NARROW).axes[
        0
    ]
    assert not axes.get_yticklabels()
    assert "an unutterablylongname" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_every_figure_can_be_drawn_for_a_phone(make_study, draw):
    assert png_bytes(draw(make_study(), width=NARROW)).startswith(b"\x89PNG")


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
        curve.model_copy(update={"arm": name, "measure": measure})
        for curve in study.curves
        for measure in (name, "rewards/margins")
    )
    odd = study.model_copy(update={"arms": arms, "stages": stages, "curves": curves})
    for draw in DRAWINGS:
        figure = draw(odd, width=width)
        figure.draw_without_rendering()
