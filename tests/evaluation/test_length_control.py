"""Tests of `rlaif_jax.evaluation.length_control`."""

import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.annotations import outcome
from rlaif_jax.evaluation.length_control import length_controlled
from rlaif_jax.evaluation.sparse_logistic import sigmoid
from rlaif_jax.evaluation.win_rate import from_outcomes

SHARED = Path(__file__).parents[3] / "shared" / "data" / "alpaca_eval"
needs_recorded = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no recorded evaluations beside the repository"
)


def recorded(name):
    rows = json.loads(gzip.decompress((SHARED / name).read_bytes()))
    won = [outcome(row["preference"]) for row in rows]
    return won, [len(row["output_2"]) - len(row["output_1"]) for row in rows]


def drawn(random, n=300, level=0.4, weight=2.0, longer=1.0):
    """Verdicts of a known model on texts that are longer by so many deviations."""
    excess = np.rint(300 * random.normal(longer, 1.0, n)).astype(int)
    p = sigmoid(weight * np.tanh(excess / excess.std(ddof=1)) + level)
    return (random.random(n) < p).astype(float).tolist(), excess.tolist()


def test_texts_of_equal_length_leave_the_win_rate_as_it_is():
    won = [1.0] * 60 + [0.0] * 30 + [0.5] * 10 + [None]
    found, plain = length_controlled(won, [7] * 101), from_outcomes(won)
    assert found.win_rate == pytest.approx(plain.win_rate, abs=0.05)  # the penalty's
    assert found.standard_error == pytest.approx(plain.standard_error, rel=1e-3)
    assert found.n_total == 100


def test_what_length_alone_won_is_taken_away():
    won, excess = drawn(np.random.default_rng(0), n=4000, level=0.0)
    assert from_outcomes(won).win_rate > 70
    found = length_controlled(won, excess)
    assert abs(found.win_rate - 50) < 3 * found.standard_error


def test_changing_sides_changes_the_win_rate_to_its_complement():
    won, excess = drawn(np.random.default_rng(1))
    one = length_controlled(won, excess)
    other = length_controlled([1 - x for x in won], [-x for x in excess])
    assert one.win_rate + other.win_rate == pytest.approx(100, abs=1e-6)
    assert one.standard_error == pytest.approx(other.standard_error, rel=1e-6)


def test_the_standard_error_is_that_of_drawing_again():
    found = [length_controlled(*drawn(np.random.default_rng(s))) for s in range(40)]
    spread = np.std([one.win_rate for one in found], ddof=1)
    told = np.mean([one.standard_error for one in found])
    # the deviation of 40 draws has itself an error of 11 %
    assert told == pytest.approx(spread, rel=0.3)
    truth = 100 * sigmoid(np.array([0.4]))[0]
    inside = [abs(one.win_rate - truth) < 1.96 * one.standard_error for one in found]
    assert np.mean(inside) > 0.85


def test_a_side_that_always_wins_has_a_finite_win_rate():
    found = length_controlled([1.0] * 20, list(range(20)))
    assert 90 < found.win_rate <= 100
    assert np.isfinite(found.standard_error)


def test_a_draw_of_everything_is_half():
    assert length_controlled([0.5] * 10, list(range(10))).win_rate == 50.0


def test_fewer_verdicts_than_folds_are_refused():
    with pytest.raises(UsageError, match="4 of 5 comparisons have a usable verdict"):
        length_controlled([1.0, 0.0, 1.0, 0.5, None], [1, 2, 3, 4, 5])


@needs_recorded
@pytest.mark.parametrize(
    ("model", "published"),
    [("phi-2", 29.819), ("text_davinci_001", 20.571), ("vicuna-13b", 50.003)],
)
def test_the_published_figure_is_near_where_lengths_hardly_differ(model, published):
    # published with difficulties and gamed baselines; our design has neither
    found = length_controlled(*recorded(f"{model}.annotations.json.gz"))
    assert found.win_rate == pytest.approx(published, abs=1.0)


@needs_recorded
@pytest.mark.skipif(
    importlib.util.find_spec("alpaca_eval") is None, reason="alpaca_eval is missing"
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["claude", "gpt4", "phi-2", "vicuna-13b"])
def test_alpaca_evals_own_fit_of_this_design_gives_the_same(model):
    import pandas as pd
    from alpaca_eval.metrics import glm_winrate

    won, excess = recorded(f"{model}.annotations.json.gz")
    design = glm_winrate.GLM_INFO["length_controlled_minimal"]
    d = -pd.Series(excess, dtype=float)
    table = pd.DataFrame({"std_delta_len": d / d.std(), "not_gamed_baseline": True})
    train, test = glm_winrate.make_dmatrix_for_model(
        table.assign(preference=pd.Series(won, dtype=float)),
        table.assign(std_delta_len=0.0),
        formula=design["formula"],
    )
    train = train[train["preference"].notna()]
    found = length_controlled(won, excess).win_rate
    for tolerance, near in (({}, 0.02), ({"tol": 1e-9, "max_iter": 100_000}, 1e-4)):
        fitted = glm_winrate.fit_LogisticRegressionCV(
            train, "preference", **design["kwargs"], **tolerance
        )
        told = 100 * fitted.predict_proba(test)[:, 1].mean()
        assert found == pytest.approx(told, abs=near)
