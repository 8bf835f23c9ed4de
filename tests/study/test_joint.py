"""Tests of `rlaif_jax.study.joint`."""

import pytest

from rlaif_jax.study.joint import joint_groups, obstacles
from rlaif_jax.study.results import Judging


@pytest.fixture
def study(make_study):
    plain = {"stages": (), "curves": (), "claims": {}, "headline": None, "samples": ()}
    plain |= {"audits": (), "builds": (), "settings": ()}
    return lambda **fields: make_study(**plain | fields)


def renamed(results, **names):
    arms = {names.get(name, name): arm for name, arm in results.arms.items()}
    return results.model_copy(update={"arms": arms})


def test_studies_of_the_same_evaluation_have_nothing_between_them(study):
    assert obstacles(study(), study(seeds=1)) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"prompts": 50}, "other prompts (50 of 50 prompts in common)"),
        ({"baseline": "gpt"}, "another baseline (gpt instead of the weak teacher)"),
        ({"evaluator": "x"}, "another evaluator (x instead of lab-critic-95)"),
        (
            {"judging": Judging(baseline="b1", evaluator="e0")},
            "another text of the baseline the weak teacher",
        ),
        (
            {"judging": Judging(baseline="b0", evaluator="e1")},
            "other settings of the evaluator lab-critic-95",
        ),
    ],
)
def test_what_sets_studies_apart_is_named(study, fields, reason):
    assert obstacles(study(), study(**fields)) == [reason]


def test_only_studies_that_can_be_compared_are_joined(study):
    studies = {"a": study(), "b": study(evaluator="x"), "c": study(), "d": study()}
    groups = joint_groups(studies)
    assert [group.studies for group in groups] == [("a", "c", "d"), ("b",)]
    assert not groups[0].is_by_name


def test_an_arm_that_studies_share_stands_once(study):
    (group,) = joint_groups({"a": study(), "b": renamed(study(), sft_weak="mine")})
    assert len(group.arms) == 5
    owners = {one.arm: one.studies for one in group.arms}
    assert owners["sft_strong"] == ("a", "b")
    assert (owners["sft_weak"], owners["mine"]) == (("a",), ("b",))


def test_arms_of_one_name_that_differ_stand_apart(study):
    swapped = renamed(study(), sft_weak="sft_strong", sft_strong="sft_weak")
    (group,) = joint_groups({"a": study(), "b": swapped})
    assert len(group.arms) == 6
    assert len(group.merged.arms) == 6


def test_arms_are_ranked_and_paired_with_the_best(study):
    (group,) = joint_groups({"a": study(), "b": renamed(study(), rlaif_weak="other")})
    rates = [one.rate.value for one in group.arms]
    assert rates == sorted(rates, reverse=True)
    best, *others = group.arms
    assert best.behind is None
    for one in others:
        assert one.behind is not None
        assert one.behind.value == pytest.approx(best.rate.value - one.rate.value)


def test_other_seeds_are_no_pair(study):
    (group,) = joint_groups({"a": study(seeds=2), "b": study(seeds=1)})
    best = group.arms[0]
    for one in group.arms[1:]:
        assert (one.behind is not None) == (one.rate.n_seeds == best.rate.n_seeds)


def test_a_study_before_hashes_is_joined_by_names_and_says_so(study):
    (group,) = joint_groups({"a": study(), "b": study(judging=None)})
    assert group.is_by_name
