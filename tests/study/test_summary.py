"""Tests of `rlaif_jax.study.summary`."""

from rlaif_jax.evaluation.evaluator_audit import EvaluatorAudit
from rlaif_jax.labeling.intervals import Measure
from rlaif_jax.study.arms import BudgetConfig
from rlaif_jax.study.claims import Headline
from rlaif_jax.study.results import Arm, Direct, SeedResult, StudyResults
from rlaif_jax.study.summary import caveats, findings, matched


def study(writes: int, judges: int, *, of: int = 100, **fields) -> StudyResults:
    """Two arms that won so many of their prompts."""
    arms = {}
    for name, wins in (("writes", writes), ("judges", judges)):
        outcomes = {f"{i:03}": float(i < wins) for i in range(of)}
        seed = SeedResult(
            seed=0,
            outcomes=outcomes,
            mean_completion_tokens=5,
            length_rate=0.2 if name == "judges" else 0.0,
            measures={"accuracy": wins / of},
        )
        arms[name] = Arm(seeds=(seed,))
    settings = {"headline": Headline(writes="writes", judges="judges")} | fields
    return StudyResults(
        arms=arms, baseline="B", evaluator="E", seconds=1, command="x", **settings
    )


def plain(sentences: list[str]) -> str:
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def test_writing_wins_if_the_whole_interval_says_so():
    text = plain(findings(study(80, 50)))
    assert text.startswith(
        "Letting the strong model write was better than letting it judge: writes won "
        "80.0 % of its comparisons with B, judges 50.0 %, a difference of 30.0 points "
        "(95 % interval 20.9 to 39.1)."
    )
    assert "writes was right in 80.0 %, judges in 50.0 %" in text


def test_judging_wins_with_its_interval_the_right_way_round():
    text = plain(findings(study(50, 80)))
    assert "model judge was better than letting it write" in text
    assert "a difference of 30.0 points (95 % interval 20.9 to 39.1)" in text


def test_an_interval_around_zero_decides_nothing():
    text = plain(findings(study(51, 50)))
    assert "stays undecided" in text
    assert "\N{MINUS SIGN}2.0 to 4.0 points, holds zero" in text


def test_without_a_question_the_best_arm_is_named():
    text = plain(findings(study(50, 80, headline=None)))
    assert text.startswith("judges won 80.0 % of its comparisons with B, 30.0 points")


def test_close_arms_are_not_told_apart():
    assert "not told apart" in plain(findings(study(51, 50, headline=None)))


def test_one_arm_is_reported_alone(make_study):
    alone = make_study(headline=None, claims={}, stages=(), curves=(), samples=())
    alone = alone.model_copy(update={"arms": {"only": alone.arms["sft_weak"]}})
    assert plain(findings(alone)).startswith("only won ")


def test_the_price_stands_beside_the_answer(make_study):
    text = plain(findings(make_study()))
    # .2812; .0281 + .3941
    assert "Teacher and critic cost $0.28 for sft_strong and $0.42 for" in text
    assert "with 2 seeds and judged on the same 60 prompts by lab-critic-95" in text


def test_nothing_billed_is_said_so():
    assert "Neither was billed" in plain(findings(study(80, 50)))


def test_one_seed_and_cut_completions_are_owned_up_to():
    text = plain(caveats(study(80, 50, notes=("Own words.",))))
    assert "There is one seed" in text
    assert "judges: 20.0 % of its completions were cut" in text
    assert text.endswith("Own words.")


def test_few_seeds_are_owned_up_to_and_many_are_not(make_study):
    assert "hardly tell" in plain(caveats(make_study(seeds=2)))
    assert "hardly tell" not in plain(caveats(make_study(seeds=5)))


def test_prompts_without_verdict_are_counted():
    results = study(80, 50)
    seed = results.arms["writes"].seeds[0]
    partly = seed.model_copy(update={"outcomes": seed.outcomes | {"000": None}})
    arms = results.arms | {"writes": Arm(seeds=(partly,))}
    text = plain(caveats(results.model_copy(update={"arms": arms})))
    assert "writes: 1 prompt without a usable verdict left out" in text


def test_what_is_corrected_for_looking_at_several_is_said(make_study):
    text = plain(caveats(make_study()))
    assert "none is corrected for looking at several" in text
    assert "verdicts on the 3 claims are corrected (Holm)" in text


def test_the_power_to_see_three_points_is_told():
    text = plain(findings(study(51, 50)))
    # one of 100 prompts differs: no interval is shorter than 3 of 100, so a difference
    # of 3 points is seen in half of the studies
    assert "differed by 3 points in truth, 50.0 % of such" in text
    assert "80 % would with about 133 prompts." in text


def test_where_seeds_are_the_noise_more_prompts_are_not_promised(make_study):
    text = plain(findings(make_study(seeds=2, prompts=40)))
    assert "of such studies would tell them apart" in text


def test_the_evaluators_own_biases_are_told(make_study):
    share = Measure(
        value=0.9,
        low=0.8,
        high=0.95,
        standard_error=0.03,
        n=100,
        n_prompts=50,
        interval="wilson",
    )
    found = EvaluatorAudit(
        evaluators=("E",),
        comparisons=100,
        measures={"order_consistency": share, "p_longer": share},
        absent={},
    )
    text = plain(caveats(make_study(evaluator="E", evaluator_audit=found)))
    assert "E said the same in both orders in 90.0 % of comparisons" in text
    assert "preferred the longer text in 90.0 % of those it decided." in text


def test_a_critic_that_evaluates_is_the_first_caveat(make_study):
    first = caveats(make_study(self_judged=("gpt-4",)))[0]
    assert first.startswith("gpt-4 judged twice")
    assert not any("judged twice" in text for text in caveats(make_study()))


def test_what_arms_won_of_each_other_is_told(make_study):
    study = make_study()
    rate = study.win_rates()["sft_strong"]
    direct = Direct(a="sft_strong", b="sft_weak", win_rate=rate)
    told = plain(findings(make_study(direct=(direct,))))
    assert "Judged against each other, sft_strong won " in told
    assert "of its comparisons with sft_weak (95" in told


def test_what_was_matched_is_said_with_its_amount():
    budgets = (
        BudgetConfig(),
        BudgetConfig(match="usd", usd=50),
        BudgetConfig(match="device_flops", flops=1e18),
    )
    prompts, dollars, compute = (matched(study(1, 2, budget=one)) for one in budgets)
    assert "matched by prompts" in prompts
    assert "matched by price: each may spend $50.00 a seed" in dollars
    assert "matched by compute" in compute
    assert "1.0 \u00d7 10\u00b9\u2078 FLOPs" in plain([compute])
    assert matched(study(1, 2)) == ""  # results that keep no budget
