"""Tests of `rlaif_jax.study.published`."""

import math

import pytest

from rlaif_jax.study.claims import ClaimConfig
from rlaif_jax.study.published import published

PAPER = published()
BARS = [bar for figure in PAPER.figures.values() for bar in figure.bars]


# worked out from the figures' scripts: unpaired gaps and their z
@pytest.mark.parametrize(
    ("claim", "values", "zs"),
    [
        (
            "a",
            [12.75, 8.87, 0.56, 3.44, 14.31, 2.56, 8.94, 12.07],
            [5.1, 3.6, 0.2, 1.4, 6.0, 1.1, 3.7, 5.1],
        ),
        (
            "b",
            [-2.0, 2.63, 9.81, 5.0, 4.19, 5.0, -1.81, -1.94],
            [-0.8, 1.1, 4.0, 2.1, 1.9, 2.3, -0.8, -0.9],
        ),
    ],
)
def test_the_gaps_are_those_of_the_figures(claim, values, zs):
    gaps = PAPER.gaps(claim)
    assert [gap.value for gap in gaps] == pytest.approx(values, abs=0.0051)
    assert [gap.z for gap in gaps] == pytest.approx(zs, abs=0.0501)


def test_the_gain_is_larger_with_a_weaker_teacher_for_mistral_only_by_hand():
    # Mistral 7B: (71.125 - 56.8125) - (77.875 - 75.3125) = 11.75
    gaps = {gap.title: gap for gap in PAPER.gaps("c")}
    assert gaps["Mistral 7B, GPT-4"].value == pytest.approx(11.75)
    error = math.sqrt(1.60**2 + 1.75**2 + 1.458**2 + 1.53**2)
    assert gaps["Mistral 7B, GPT-4"].standard_error == pytest.approx(error)


def test_the_other_claims_by_hand():
    (base,) = PAPER.gaps("d")
    assert base.value == pytest.approx(68.5 - 47.6)
    gpt, claude = PAPER.gaps("e")
    assert gpt.value == pytest.approx(42.5625 - 47.0625)
    assert claude.value == pytest.approx(55.0 - 57.5625)


def test_proven_counts_give_whole_numbers_of_half_wins():
    for bar in BARS:
        if bar.n is not None:
            halves = 2 * bar.win_rate * bar.n / 100
            assert halves == pytest.approx(round(halves), abs=0.1 * bar.n / 800)


def test_errors_are_those_of_800_comparisons_with_few_draws():
    with_error = [bar for bar in BARS if bar.standard_error is not None]
    assert len(with_error) == 12 + 24 + 8 + 9 + 3 + 4
    for bar in with_error:
        p = bar.win_rate / 100
        most = 100 * math.sqrt(p * (1 - p) / ((bar.n or 800) - 1))
        assert most - 0.04 < bar.standard_error < most + 0.006


def test_the_teaser_repeats_the_other_figures_rounded():
    for bar in PAPER.figures["figure_1"].bars:
        others = [PAPER.figures[name].bars for name in ("figure_3", "figure_5")]
        assert any(
            (bar.base, bar.arm) == (other.base, other.arm)
            and abs(bar.win_rate - other.win_rate) < 0.0051
            for bars in others
            for other in bars
        )


@pytest.mark.parametrize("name", ["a", "b", "c", "d", "e"])
def test_a_claim_can_be_taken_over_into_a_study(name):
    claim = PAPER.claims[name].model_dump(exclude={"tested_by", "evidence"})
    assert ClaimConfig(**claim).text == PAPER.claims[name].text


def test_what_is_no_claim_about_win_rates_names_its_verb():
    assert PAPER.claims["f"].tested_by == "bandit"
    assert PAPER.gaps("f") == []


def test_a_bar_must_be_the_only_one():
    with pytest.raises(ValueError, match="12 bars"):
        PAPER.bar({"figure": "figure_2", "base": "LLaMA 7B"})


def test_every_bar_says_what_it_is_and_how_sure():
    bar = PAPER.bar({"figure": "figure_3", "base": "Mistral 7B", "arm": "sft_strong"})
    assert bar.described == "SFT on the strong teacher"
    assert bar.interval == pytest.approx((75.3125 - 1.96 * 1.53, 75.3125 + 1.96 * 1.53))
    assert bar.model_copy(update={"standard_error": None}).interval is None
    for figure in PAPER.figures.values():
        told = [(bar.base, bar.described) for bar in figure.bars]
        assert len(set(told)) == len(told)
