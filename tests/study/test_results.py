"""Tests of `rlaif_jax.study.results`."""

import pydantic
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.study.bill import Stage
from rlaif_jax.study.claims import ClaimConfig, Headline
from rlaif_jax.study.results import Arm, Curve, SeedResult, StudyResults


def seed_result(seed, won, **fields):
    outcomes = {str(i): value for i, value in enumerate(won)}
    return SeedResult(
        seed=seed,
        outcomes=outcomes,
        **{"mean_completion_tokens": 4.0, "length_rate": 0.0} | fields,
    )


def study(arms, **fields):
    named = {
        name: Arm(seeds=tuple(seed_result(s, won) for s, won in enumerate(seeds)))
        for name, seeds in arms.items()
    }
    return StudyResults(
        arms=named, baseline="b", evaluator="e", seconds=1.0, command="x", **fields
    )


def test_differences_are_every_arm_minus_every_later_one():
    results = study({"a": [[1, 1, 0, 1]], "b": [[0, 1, 0, 1]], "c": [[0, 0, 0, 0]]})
    found = [(d.a, d.b, d.estimate.value) for d in results.differences()]
    assert found == [("a", "b", 25.0), ("a", "c", 75.0), ("b", "c", 50.0)]


def test_a_difference_can_be_turned_round():
    results = study({"a": [[0, 0, 0, 1]], "b": [[1, 1, 0, 1]]})
    (difference,) = results.differences()
    turned = difference.positive()
    assert (turned.a, turned.b, turned.estimate.value) == ("b", "a", 50.0)
    assert turned.estimate.low == -difference.estimate.high
    assert turned.positive() == turned


def test_the_win_rate_of_an_arm_is_the_mean_of_its_seeds():
    rate = study({"a": [[1, 1, 0, 0], [1, 1, 1, 0]]}).win_rates()["a"]
    assert (rate.value, rate.n_seeds, rate.n_prompts) == (62.5, 2, 4)


def test_arms_with_other_prompts_cannot_be_compared():
    with pytest.raises(UsageError, match="prompts differ"):
        study({"a": [[1, 0, 1]], "b": [[1, 0]]}).differences()


def test_measures_are_means_of_what_every_seed_has():
    arm = Arm(
        seeds=(
            seed_result(0, [1, 0], measures={"x": 1.0, "y": 5.0}),
            seed_result(1, [1, 0], measures={"x": 2.0}, mean_completion_tokens=6.0),
        )
    )
    assert arm.measures == {"x": 1.5}
    assert arm.mean_completion_tokens == 5.0


def test_what_diverged_is_a_gap_in_the_curve():
    curve = Curve(
        arm="a",
        seed=0,
        stage="sft",
        measure="loss",
        steps=(1, 2),
        values=(float("nan"), 0.5),
    )
    assert curve.values == (None, 0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"headline": Headline(writes="a", judges="z")}, "no arm is called 'z'"),
        ({"stages": (Stage(stage_id="s", kind="sft", arms=("z",)),)}, "'z'"),
        ({"stages": (Stage(stage_id="s", kind="sft", arms=("a",)),) * 2}, "twice"),
    ],
)
def test_results_that_do_not_fit_together_are_refused(fields, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        study({"a": [[1, 0]]}, **fields)


def test_claims_about_unknown_arms_are_refused():
    claims = {"a": ClaimConfig(text="", greater="a", lesser="z")}
    with pytest.raises(UsageError, match="unknown arm 'z'"):
        study({"a": [[1, 0]]}, claims=claims).claim_results()


@pytest.mark.parametrize("outcome", [1.5, -0.1, float("nan")])
def test_an_outcome_is_a_share(outcome):
    with pytest.raises(pydantic.ValidationError):
        seed_result(0, [outcome])


def test_a_second_opinion_the_other_way_round_is_that_of_the_arms_exchanged(make_study):
    study = make_study()
    a, b = list(study.arms)[:2]
    reversed_, exchanged = (
        study.second_opinion(a, b).reversed(),
        study.second_opinion(b, a),
    )
    assert reversed_.sign_test == exchanged.sign_test
    assert (reversed_.a, reversed_.b) == (b, a)
    ends = [(one.bootstrap.low, one.bootstrap.high) for one in (reversed_, exchanged)]
    assert ends[0] == pytest.approx(ends[1])


def test_second_opinions_stand_beside_the_differences(make_study):
    study = make_study(seeds=2, prompts=80)
    pairs = zip(study.differences(), study.second_opinions(), strict=True)
    for pair, again in pairs:
        assert (pair.a, pair.b) == (again.a, again.b)
        assert again.bootstrap.low < pair.estimate.value < again.bootstrap.high
        assert again.sign_test.n_better + again.sign_test.n_worse <= 80


def test_the_p_values_of_differences_are_corrected_for_all(make_study):
    pairs = make_study().differences()
    alone = [pair.estimate.p_different for pair in pairs]
    corrected = [pair.adjusted_p_value for pair in pairs]
    assert min(corrected) == pytest.approx(min(1.0, 6 * min(alone)))
    assert all(p <= q for p, q in zip(alone, corrected, strict=True))


def test_arms_lend_each_other_the_spread_of_their_seeds(make_study):
    study = make_study(seeds=2)
    degrees = {rate.seed_degrees for rate in study.win_rates().values()}
    assert degrees == {4}  # four arms, each with one
