"""Tests of `rlaif_jax.study.drawing`."""

import pytest

from rlaif_jax.figures import new_figure
from rlaif_jax.study.drawing import (
    arm_colors,
    fits,
    label,
    legend_above,
    legend_inches,
    pale,
)


def test_colors_are_a_function_of_the_arms_order(make_study):
    assert len(set(arm_colors(make_study()).values())) == 4


def test_ten_arms_have_ten_colors(make_study):
    study = make_study(stages=(), curves=(), claims={}, headline=None)
    arms = {f"arm {i}": study.arms["sft_weak"] for i in range(10)}
    colors = arm_colors(study.model_copy(update={"arms": arms}))
    assert len(set(colors.values())) == 10


def test_a_pale_color_is_nearly_white():
    assert pale("#000000") == pytest.approx((0.68, 0.68, 0.68))


@pytest.mark.parametrize(
    ("name", "room", "shown"),
    [
        ("short", 10, "short"),
        ("sft_weak_model", 8, "sft_\nweak_\nmodel"),
        ("a$b$", 10, "a\\$b\\$"),
        ("one two three four", 9, "one two\nthree\nfour"),
        ("x\x1b", 10, "x[U+001B]"),
    ],
)
def test_a_label_breaks_where_words_end_and_is_no_formula(name, room, shown):
    assert label(name, room, lines=3) == shown


def test_what_does_not_fit_ends_with_an_ellipsis():
    assert label("one two three", 8).endswith("\N{HORIZONTAL ELLIPSIS}")


@pytest.mark.parametrize(
    ("name", "is_fit"),
    [("a b c", True), ("aaaa bbbb cccc", False), ("abcdefghi", False), ("ab_cd", True)],
)
def test_a_name_fits_if_it_stands_whole_and_unbroken(name, is_fit):
    assert fits(name, 5, lines=2) == is_fit


@pytest.mark.parametrize(("width", "columns"), [(3.9, 1), (7.6, 2)])
def test_a_legend_has_as_many_columns_as_its_names_leave_room_for(width, columns):
    figure = new_figure(width, 2.0)
    legend_above(figure, {f"a name of some length, {i}": "#000000" for i in range(4)})
    (legend,) = figure.legends
    assert legend._ncols == columns


def test_a_legend_of_more_lines_is_higher():
    names = [f"a name of some length, {i}" for i in range(4)]
    assert legend_inches(names, 3.9) == pytest.approx(4 * legend_inches(["a"], 3.9))
    assert legend_inches(names, 7.6) == pytest.approx(2 * legend_inches(["a"], 7.6))
