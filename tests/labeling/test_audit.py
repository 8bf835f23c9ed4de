"""Tests of `rlaif_jax.labeling.audit`, on made-up labels and on recorded ones."""

import csv
import gzip
import json
import math
import random
import statistics
from pathlib import Path

import numpy as np
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.audit import audit, lines
from rlaif_jax.labeling.calls import LedgerCall
from rlaif_jax.labeling.judged import judged_files, judged_labels, preferences
from rlaif_jax.labeling.meanings import MEANINGS
from rlaif_jax.labeling.outcome import Outcome

SHARED = Path(__file__).parents[3] / "shared"  # beside the repository
REAL = SHARED / "data" / "alpaca_eval"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="no shared data here")


def test_states_and_verdicts_sum_to_the_labels(judged):
    made = [
        judged(0),
        judged(1, p_first=0.0),
        judged(2, p_first=0.5, state="skipped_identical"),
        judged(3, p_first=None),
        judged(4, p_first=None, state="refused"),
        judged(5, p_first=None, state="failed"),
        judged(6, p_first=None, state="content_filter"),
    ]
    found = audit(made, comparisons=9)
    states = {name: counted.n for name, counted in found.states.items()}
    assert states == {
        "labeled": 2,
        "skipped_identical": 1,
        "unparsable": 1,
        "refused": 1,
        "too_long": 0,
        "failed": 1,
        "content_filter": 1,
    }
    assert (found.labels, found.comparisons) == (7, 9)
    verdicts = {name: counted.n for name, counted in found.verdicts.items()}
    assert verdicts == {"first": 1, "second": 1, "tie": 1, "failed": 4}
    assert found.states["refused"].share.value == pytest.approx(1 / 7)
    shown = [line.title for line in lines(found)]
    assert shown[:7].count("Refused") == 1


def test_every_figure_is_there_or_says_why_not(judged):
    found = audit([judged(0)], comparisons=1)
    assert found.measures.keys() | found.absent.keys() == MEANINGS.keys()
    assert not found.measures.keys() & found.absent.keys()
    assert {"cost_usd", "calls", "latency_s_p50", "kappa"} <= found.absent.keys()
    assert len(lines(found)) == len(found.measures) + len(found.states)


def test_prices_calls_and_cuts_are_counted_where_they_are_recorded(judged):
    made = [
        judged(
            i,
            cost_usd=0.01 * i,
            num_calls=2 + i % 2,
            is_cut_known=True,
            finish_reasons=("length", "stop") if i == 0 else ("stop", "stop"),
        )
        for i in range(4)
    ]
    found = audit(made, comparisons=4).measures
    # costs 0 1 2 3 cents: deviation sqrt(5/3) cents, error that over 2
    assert found["cost_usd"].value == pytest.approx(0.015)
    error = 0.01 * math.sqrt(5 / 3) / 2
    assert found["cost_usd"].standard_error == pytest.approx(error)
    assert found["calls"].value == pytest.approx(2.5)
    assert found["completion_cut"].value == pytest.approx(1 / 8)


def test_times_and_cut_replies_come_from_the_ledger(judged):
    made = [judged(i, calls=((False, "first"),)) for i in range(100)]
    ledger = {
        f"{one.comparison.pair_id}:ab": (
            LedgerCall(
                Outcome(
                    state="answered",
                    text="Output (a)",
                    finish_reason="length" if i < 3 else "stop",
                    attempts=1,
                ),
                latency_s=(i + 1) / 10,
            ),
        )
        for i, one in enumerate(made)
    }
    labels = judged_labels(
        [one.comparison for one in made],
        [one.label for one in made],
        calls=ledger,
        orders="both",
    )
    found = audit(labels, comparisons=100).measures
    assert found["reply_cut"].value == pytest.approx(0.03)
    times = [found[f"latency_s_p{p}"].value for p in (50, 95, 99)]
    assert times == pytest.approx([5.0, 9.5, 9.9])


def of_run(made, ends):
    """Labels of a run whose ledger has, for each, attempts and faults of two calls."""
    ledger = {
        f"{one.comparison.pair_id}:{order}": (
            LedgerCall(
                Outcome(
                    state="answered",
                    text="Output (a)",
                    finish_reason="stop",
                    attempts=attempts,
                    faults=faults,
                ),
                latency_s=0.1,
            ),
        )
        for one, both in zip(made, ends, strict=True)
        for order, (attempts, faults) in zip(("ab", "ba"), both, strict=True)
    }
    return judged_labels(
        [one.comparison for one in made],
        [one.label for one in made],
        calls=ledger,
        orders="both",
    )


def test_refused_and_failed_calls_are_shares_of_all_that_were_sent(judged):
    made = [judged(i, calls=((False, "first"), (True, "first"))) for i in range(3)]
    labels = of_run(
        made,
        [
            ((1, {}), (4, {"rate_limit": 2, "garbage": 1})),
            ((1, {}), (1, {})),
            ((2, {"rate_limit": 1}), (1, {})),
        ],
    )
    found = audit(labels, comparisons=3).measures
    assert (found["rate_limited"].value, found["rate_limited"].n) == (0.3, 10)
    assert found["faulty"].value == pytest.approx(0.1)
    assert found["faulty"].n_prompts == 3
    assert 0.0 < found["faulty"].low < 0.1 < found["faulty"].high < 1.0


def test_faults_are_not_known_where_a_ledger_does_not_tell_them(judged):
    made = [judged(i, calls=((False, "first"), (True, "first"))) for i in range(2)]
    fine, silent = ((1, {}), (1, {})), ((1, {}), (3, {}))
    found = audit(of_run(made, [fine, silent]), comparisons=2)
    assert found.measures["rate_limited"].n == 2  # the first comparison's
    assert "faulty" in audit(of_run(made, [silent] * 2), comparisons=2).absent


def test_another_judge_gives_agreement_and_self_preference(judged):
    made = [judged(i, critic="one", p_first=float(i < 6)) for i in range(8)]
    gold = preferences([judged(i, p_first=float(i < 4)) for i in range(7)])
    found = audit(made, comparisons=8, other=gold)
    # equal in 0 1 2 3 and 6 of 7; "one" wins 6 of 7 with itself and 4 with the other
    assert (found.agreement.n, found.n_unmatched) == (7, 1)
    assert found.measures["agreement"].value == pytest.approx(5 / 7)
    # by chance (6 * 4 + 1 * 3) / 49 = 27/49, so kappa = (35 - 27) / (49 - 27)
    assert found.measures["kappa"].value == pytest.approx(8 / 22)
    assert found.measures["self_preference"].value == pytest.approx(2 / 7)
    assert [one.is_own for one in found.generators] == [True, False]


def test_the_critics_family_may_be_named(judged):
    made = [judged(i, p_first=1.0) for i in range(3)]
    gold = preferences([judged(i, p_first=0.0) for i in range(3)])
    assert "self_preference" in audit(made, comparisons=3, other=gold).absent
    found = audit(made, comparisons=3, other=gold, own=("two",))
    assert found.measures["self_preference"].value == -1.0
    with pytest.raises(UsageError, match="'three' is no generator; there are one, two"):
        audit(made, comparisons=3, own=("three",))


def test_nothing_and_strangers_are_refused(judged):
    with pytest.raises(UsageError, match="no labels to audit"):
        audit([], comparisons=3)
    with pytest.raises(UsageError, match="none of these 1 comparisons"):
        audit([judged(0)], comparisons=1, other=preferences([judged(1)]))


def test_the_sides_that_writers_stand_on_do_not_change_the_length_slope(judged):
    drawn = random.Random(0)
    made, turned = [], []
    for i in range(60):
        texts = ("x" * drawn.randint(1, 90), "y" * drawn.randint(1, 90))
        wins = drawn.random() < (0.7 if len(texts[0]) > len(texts[1]) else 0.4)
        made.append(judged(i, texts=texts, p_first=float(wins)))
        side = -1 if i % 2 else 1
        turned.append(
            judged(
                i,
                texts=texts[::side],
                writers=("one", "two")[::side],
                p_first=float(wins == (side == 1)),
            )
        )
    one, other = (
        audit(rows, comparisons=60).measures["length_slope"] for rows in (made, turned)
    )
    assert one.value == pytest.approx(other.value)
    assert one.standard_error == pytest.approx(other.standard_error)


# --- recorded GPT-4 judgments -------------------------------------------------


def rows_of(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def name_of(path):
    return path.name.removesuffix(".annotations.json.gz")


@pytest.fixture(scope="module")
def files():
    return sorted(REAL.glob("*.annotations.json.gz"))


@pytest.fixture(scope="module")
def found(files):
    judged = judged_files(files)
    return audit(judged, comparisons=len(judged))


@pytest.fixture(scope="module")
def published():
    with (REAL / "leaderboard.csv").open() as file:
        return {row[""]: row for row in csv.DictReader(file)}


@needs_real
def test_recorded_win_rates_are_the_published_ones(found, published, files):
    by_name = {one.name: one for one in found.generators}
    assert len(files) == 12
    for path in files:
        expected = published[name_of(path)]
        (generator,) = {row["generator_2"] for row in rows_of(path)}
        figures = by_name[generator]
        for name, value in (
            ("win_rate", 100 * figures.won.value),
            ("standard_error", 100 * figures.won.standard_error),
        ):
            assert value == pytest.approx(float(expected[name]), abs=1e-9), path.name
        assert figures.n_wins == int(expected["n_wins"])
        assert figures.n_losses == int(expected["n_wins_base"])
        assert figures.n_draws == int(expected["n_draws"])
        assert figures.won.n == int(expected["n_total"])
        assert figures.n_dropped == 805 - int(expected["n_total"])
        assert int(figures.mean_characters) == int(expected["avg_length"])
        assert figures.won.low < figures.won.value < figures.won.high


@needs_real
def test_recorded_counts_are_the_published_ones(found, published):
    assert found.labels == 9660 == sum(one.n for one in found.states.values())
    totals = {
        column: sum(int(row[column]) for row in published.values())
        for column in ("n_wins", "n_wins_base", "n_draws", "n_total")
    }
    verdicts = {name: counted.n for name, counted in found.verdicts.items()}
    assert verdicts == {
        "first": totals["n_wins_base"],
        "second": totals["n_wins"],
        "tie": totals["n_draws"],
        "failed": 9660 - totals["n_total"],
    }
    assert found.states["unparsable"].n == 9660 - totals["n_total"] == 11
    # every draw is of two equal outputs, about which AlpacaEval asks nobody
    assert found.states["skipped_identical"].n == totals["n_draws"] == 84
    assert "identical_tied" in found.absent


@needs_real
def test_recorded_bias_is_what_the_rows_say(found, files):
    longer, first, prices = [], [], []
    for path in files:
        for row in rows_of(path):
            if row["price_per_example"] is not None:
                prices.append(row["price_per_example"])
            if row["preference"] not in (1, 2):
                continue
            lengths = len(row["output_1"]), len(row["output_2"])
            wins_2 = row["preference"] == 2
            if lengths[0] != lengths[1]:
                longer.append((lengths[1] > lengths[0]) == wins_2)
            seed = f"is_switched_outputs{row['instruction']}0"
            switched = random.Random(seed).choices([False, True])[0]
            first.append(wins_2 == switched)
    measures = found.measures
    assert measures["p_longer"].value == pytest.approx(statistics.mean(longer))
    assert measures["p_longer"].n == len(longer)
    assert measures["p_first_shown"].value == pytest.approx(statistics.mean(first))
    assert measures["cost_usd"].value == pytest.approx(statistics.mean(prices))
    assert measures["cost_usd"].n == len(prices) < 9660
    for name in ("order_consistency", "latency_s_p50", "calls", "agreement"):
        assert name in found.absent


@needs_real
def test_equal_length_is_nearer_to_the_published_length_control(
    found, published, files
):
    # the published figure has more terms: near, not equal
    by_name = {one.name: one for one in found.generators}
    raw, equal, target = [], [], []
    for path in files:
        figures = by_name[rows_of(path)[0]["generator_2"]]
        raw.append(100 * figures.won.value)
        equal.append(100 * figures.equal_length.value)
        target.append(float(published[name_of(path)]["length_controlled_winrate"]))
    far, near = (
        np.abs(np.array(rates) - np.array(target)).mean() for rates in (raw, equal)
    )
    assert near < far


@needs_real
def test_a_recorded_judge_agrees_with_itself(files):
    judged = judged_files(files[:1])
    found = audit(judged, comparisons=len(judged), other=preferences(judged))
    assert found.measures["agreement"].value == 1.0
    assert found.measures["kappa"].value == pytest.approx(1.0)
    assert found.n_unmatched == 0
