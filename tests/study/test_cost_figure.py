"""Tests of `rlaif_jax.study.cost_figure`."""

import pytest

from rlaif_jax.study.bill import Stage
from rlaif_jax.study.cost_figure import cost_figure, known_costs
from rlaif_jax.study.drawing import NARROW
from rlaif_jax.study.frontier import cost_points, frontier


def dots(axes):
    return [line for line in axes.lines if line.get_marker() == "o"]


def test_an_arm_is_where_its_costs_are(make_study):
    study = make_study()
    price, device = cost_figure(study).axes
    bills = study.bills().values()
    assert [float(d.get_xdata()[0]) for d in dots(price)] == pytest.approx(
        [bill.making_usd for bill in bills]
    )
    assert [float(d.get_xdata()[0]) for d in dots(device)] == pytest.approx(
        [bill.total_device_s / 60 for bill in bills]
    )


def test_dominated_arms_are_hollow_and_the_line_joins_the_others(make_study):
    study = make_study()
    price = cost_figure(study).axes[0]
    points = {n: (p.usd, p.win_rate) for n, p in cost_points(study).items()}
    best = frontier(points)
    assert 0 < len(best) < len(points)
    hollow = {
        name: dot.get_markerfacecolor() == "white"
        for name, dot in zip(points, dots(price), strict=True)
    }
    assert hollow == {name: name not in best for name in points}
    (line,) = [line for line in price.lines if line.get_marker() != "o"]
    drawn = {*zip(line.get_xdata(), line.get_ydata(), strict=True)}
    assert {points[name] for name in best} <= drawn


def test_a_cost_that_nobody_had_has_no_panel(make_study):
    stage = Stage(
        stage_id="sft-1",
        kind="sft",
        arms=("sft_weak",),
        device_s={"training": 60.0},
    )
    study = make_study(stages=(stage,))
    assert known_costs(study) == ("device_s",)
    assert len(cost_figure(study).axes) == 1
    assert known_costs(make_study(stages=())) == ()


def test_panels_stand_below_each_other_on_a_phone(make_study):
    price, device = cost_figure(make_study(), width=NARROW).axes
    assert device.get_subplotspec().rowspan.start == 1
    assert price.get_subplotspec().colspan == device.get_subplotspec().colspan
