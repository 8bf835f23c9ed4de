"""Tests of `rlaif_jax.study.frontier`."""

import pytest

from rlaif_jax.study.frontier import cost_points, frontier


def test_an_arm_that_costs_more_and_wins_less_is_dominated():
    points = {"cheap": (1.0, 40.0), "dear": (3.0, 60.0), "poor": (2.0, 39.0)}
    assert frontier(points) == ("cheap", "dear")


def test_an_arm_may_be_worth_its_device_time_and_not_its_price():
    # as good as the cheap one on price alone: more dollars, fewer wins
    points = {"cheap": (1.0, 90.0, 60.0), "fast": (2.0, 10.0, 55.0)}
    assert frontier({name: (p[0], p[2]) for name, p in points.items()}) == ("cheap",)
    assert frontier(points) == ("cheap", "fast")


def test_equal_arms_do_not_dominate_each_other():
    assert frontier({"a": (1.0, 50.0), "b": (1.0, 50.0)}) == ("a", "b")


def test_at_the_same_price_the_better_arm_dominates():
    assert frontier({"a": (1.0, 50.0), "b": (1.0, 51.0)}) == ("b",)


def test_one_arm_is_its_own_frontier():
    assert frontier({"a": (0.0, 0.0, 0.0)}) == ("a",)


def test_the_points_are_those_of_the_bills(make_study):
    study = make_study()
    points = cost_points(study)
    assert points["rlaif_weak"].usd == pytest.approx(0.0281 + 0.3941)
    assert points["rlaif_weak"].device_s == pytest.approx(8.2 + 3.1 + 21.4)
    assert points["sft_weak"].win_rate == study.win_rates()["sft_weak"].value
