"""Tests of `rlaif_jax.evaluation.win_rate`."""

import gzip
import json
import math

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.win_rate import (
    OUTCOMES,
    from_annotations,
    from_outcomes,
    win_rate,
)
from rlaif_jax.records import Verdict


def test_hand_worked_win_rate():
    # outcomes 0 1 1 .5 .5: mean .6; squared deviations .36 .16 .16 .01 .01 = .7,
    # so the deviation is sqrt(.7 / 4) and the error that over sqrt 5
    result = win_rate([1, 2, 2.0, 0, 1.5, None])
    assert result.win_rate == pytest.approx(60.0, abs=1e-12)
    assert result.standard_error == pytest.approx(100 * math.sqrt(0.7 / 20), abs=1e-12)
    assert (result.n_wins, result.n_wins_base, result.n_draws) == (2, 1, 2)
    assert (result.n_total, result.n_dropped) == (5, 1)


def test_an_uncertain_verdict_counts_as_its_value():
    result = win_rate([1.25, 1.9])
    assert result.win_rate == pytest.approx((25 + 90) / 2)
    assert (result.n_wins, result.n_wins_base, result.n_draws) == (1, 1, 0)


def test_the_published_figures_of_a_row_count_come_back():
    # text_davinci_001 of the AlpacaEval leaderboard: 112 wins, 672 losses, 20 draws
    # and one null give 15.174129 with error 1.235108
    result = win_rate([2] * 112 + [1] * 672 + [0] * 20 + [None])
    assert result.win_rate == pytest.approx(15.17412935323383, abs=1e-9)
    assert result.standard_error == pytest.approx(1.235107892276849, abs=1e-9)
    assert result.n_total == 804


@pytest.mark.parametrize("bad", [-1, 0.5, 2.1, 3, math.nan, math.inf])
def test_a_value_outside_the_scale_is_named(bad):
    with pytest.raises(UsageError, match="preference 1 is"):
        win_rate([1, bad, 2])


@pytest.mark.parametrize("preferences", [[], [None, None], [2, None]])
def test_a_win_rate_needs_two_verdicts(preferences):
    with pytest.raises(UsageError, match="at least 2"):
        win_rate(preferences)


def test_plain_and_gzipped_annotations_agree(tmp_path):
    rows = [{"instruction": str(i), "preference": p} for i, p in enumerate([1, 2, 0])]
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_text(json.dumps(rows))
    packed.write_bytes(gzip.compress(json.dumps(rows).encode()))
    assert from_annotations(plain) == from_annotations(packed) == win_rate([1, 2, 0])


def test_the_second_completion_is_the_candidate():
    verdicts = [Verdict.SECOND, Verdict.SECOND, Verdict.FIRST, Verdict.TIE]
    result = from_outcomes(OUTCOMES[verdict] for verdict in verdicts)
    assert result.win_rate == pytest.approx(62.5)


def test_failed_verdicts_are_dropped_and_counted():
    verdicts = [Verdict.SECOND, Verdict.FAILED, Verdict.FIRST]
    result = from_outcomes(OUTCOMES[verdict] for verdict in verdicts)
    assert (result.win_rate, result.n_total, result.n_dropped) == (50.0, 2, 1)
