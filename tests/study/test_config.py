"""Tests of `rlaif_jax.study.config`, on the study that ships with the lab."""

from pathlib import Path

import pytest

import rlaif_jax.lab
from rlaif_jax.config_file import load_config, read_yaml, validate
from rlaif_jax.errors import UsageError
from rlaif_jax.study.config import StudyConfig

LAB = Path(rlaif_jax.lab.__file__).parent / "study.yaml"


def changed(**changes):
    return validate(StudyConfig, read_yaml(LAB) | changes)


def test_the_lab_study_has_four_arms_and_three_claims():
    config = load_config(StudyConfig, [str(LAB)])
    assert len(config.arms) == 4
    assert set(config.claims) == {"a", "b", "c"}


def test_names_that_nothing_has_are_refused():
    with pytest.raises(UsageError, match="unknown teacher 'gpt'"):
        changed(baseline="gpt")
    arm = {"teacher": "weak", "sft_splits": ["sft"], "critic": "x", "aif_splits": ["a"]}
    with pytest.raises(UsageError, match="'figure_9' is no figure of the paper"):
        changed(published="figure_9")
    with pytest.raises(UsageError, match="unknown critic 'x'"):
        changed(arms={"one": arm}, claims={})
    claim = {"text": "t", "greater": "SFT weak", "lesser": "nobody"}
    with pytest.raises(UsageError, match="unknown arm 'nobody'"):
        changed(claims={"a": claim})


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"pairs_of": "one"}, "has no critic"),
        ({"base": "small"}, "unknown base 'small'"),
    ],
)
def test_an_arm_must_fit_the_study(arm, message):
    arms = {"one": {"teacher": "weak", "sft_splits": ["sft"]} | arm}
    with pytest.raises(UsageError, match=message):
        changed(arms=arms, claims={}, headline=None)


def test_a_critic_needs_the_dpo_recipe():
    with pytest.raises(UsageError, match="needs the dpo recipe"):
        changed(dpo=None)


def test_a_jury_may_be_a_studys_critic():
    seats = [
        {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "model": name}
        for name in ("one", "other")
    ]
    strong = {"api": "jury", "critics": seats}
    config = changed(critics={"strong": strong})
    assert [seat.model for seat in config.critics["strong"].critics] == ["one", "other"]


def test_bases_are_named_where_there_are_several():
    arm = {"teacher": "weak", "sft_splits": ["sft"]}
    bases = {name: {"model": {"path": f"nowhere/{name}"}} for name in ("a", "b")}
    rest = {"claims": {}, "headline": None}
    with pytest.raises(UsageError, match="either base or bases"):
        changed(arms={"one": arm}, bases=bases, **rest)
    with pytest.raises(UsageError, match="'one' names no base"):
        changed(arms={"one": arm}, base=None, bases=bases, **rest)
    one = changed(arms={"one": arm}, base=None, bases={"a": bases["a"]}, **rest)
    assert one.base_of("one").model.path == Path("nowhere/a")


def test_a_split_is_not_demonstrated_and_judged_by_way_of_another_arm():
    judged = {"critic": "strong", "aif_splits": ["aif"]}
    arms = {
        "one": {"teacher": "weak", "sft_splits": ["sft"]} | judged,
        "other": {"teacher": "weak", "sft_splits": ["sft", "aif"], "pairs_of": "one"},
    }
    with pytest.raises(UsageError, match="'aif', which is judged"):
        changed(arms=arms, claims={}, headline=None)


WIDE = {
    "few": {"teacher": "weak", "sft_splits": ["sft"]},
    "many": {"teacher": "weak", "sft_splits": ["aif", "sft"]},
    "judged": {
        "teacher": "weak",
        "sft_splits": ["sft"],
        "critic": "strong",
        "aif_splits": ["aif"],
    },
}


def claimed(*pair, **more):
    claim = {"text": "t", "greater": pair[0], "lesser": pair[1]} | more
    return changed(arms=WIDE, claims={"x": claim}, headline=None)


def test_a_claim_over_arms_with_other_prompts_says_so():
    with pytest.raises(UsageError, match=r"claim 'x' .* in prompts: 'few' has sft, "):
        claimed("few", "many")
    assert claimed("few", "many", across=["prompts"]).claims["x"].across == ("prompts",)
    claimed("many", "judged")  # the same prompts, put to another use
    with pytest.raises(UsageError, match="in which its arms do not differ"):
        claimed("many", "judged", across=["prompts"])


def test_a_headline_over_other_prompts_says_so():
    headline = {"writes": "few", "judges": "judged"}
    with pytest.raises(UsageError, match=r"the headline compares .* in prompts"):
        changed(arms=WIDE, claims={}, headline=headline)


def test_a_claim_over_arms_with_other_bases_says_so():
    bases = {name: {"model": {"path": f"nowhere/{name}"}} for name in ("a", "b")}
    arms = {name: WIDE["many"] | {"base": name} for name in bases}
    claim = {"text": "t", "greater": "a", "lesser": "b"}
    fields = {"arms": arms, "base": None, "bases": bases, "headline": None}
    with pytest.raises(UsageError, match=r"in base: 'a' has a, 'b' has b; .*\[base\]"):
        changed(claims={"x": claim}, **fields)
    changed(claims={"x": claim | {"across": ["base"]}}, **fields)


def test_seeds_are_not_judged_on_prompts_that_each_draws_for_itself():
    drawn = {"source": {"format": "jsonl", "path": "nowhere/prompts.jsonl"}}
    drawn["fractions"] = {"sft": 0.1, "aif": 0.8, "test": 0.1}
    with pytest.raises(UsageError, match=r"seeds=\[0, 1\] are not judged on the same"):
        changed(prompts=drawn, seeds=[0, 1])
    assert changed(prompts=drawn, seeds=[3]).seeds == (3,)
    drawn["fractions"] = {"sft": 0.1, "aif": 0.9}  # the source has the test split
    assert changed(prompts=drawn, seeds=[0, 1]).seeds == (0, 1)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("few", "few"), "judges an arm against itself"),
        (("few", "many"), r"direct \[few, many\] .* in prompts: 'few' has sft, 'many'"),
    ],
)
def test_arms_are_judged_against_each_other_only_where_that_is_fair(pair, message):
    fields = {"arms": WIDE, "claims": {}, "headline": None}
    evaluation = read_yaml(LAB)["evaluation"]
    with pytest.raises(UsageError, match=message):
        changed(evaluation=evaluation | {"direct": [pair]}, **fields)
    fair = changed(evaluation=evaluation | {"direct": [("many", "judged")]}, **fields)
    assert fair.evaluation.direct == (("many", "judged"),)


def test_judged_prompts_are_as_many_as_the_arm_has_whose_labels_are_used():
    judged = WIDE["judged"] | {"at_most": {"aif": 20, "sft": 7}}
    other = {"teacher": "weak", "sft_splits": ["sft"], "pairs_of": "judged"}
    arms = WIDE | {"judged": judged, "other": other | {"at_most": {"sft": 9}}}
    config = changed(arms=arms, claims={}, headline=None)
    assert config.facets_of("judged")["prompts"] == "20 of aif + 7 of sft"
    assert config.facets_of("other")["prompts"] == "20 of aif + 9 of sft"
    assert config.facets_of("few")["prompts"] == "sft"
    assert config.holders_of("other") == {"sft": "other", "aif": "judged"}
    arms["other"] = other | {"at_most": {"aif": 9}}
    with pytest.raises(UsageError, match=r"'aif', .* no split of the arm's own"):
        changed(arms=arms, claims={}, headline=None)
