"""Tests of `rlaif_jax.evaluation.export`."""

import importlib.util
import json

import pytest

from rlaif_jax.evaluation.annotations import read_outcomes
from rlaif_jax.evaluation.export import annotation_rows, model_output_rows
from rlaif_jax.evaluation.win_rate import OUTCOMES, from_annotations, from_outcomes
from rlaif_jax.files import write_json_list
from rlaif_jax.records import (
    Comparison,
    Completion,
    Label,
    Message,
    Prompt,
    Verdict,
)

VERDICTS = [
    Verdict.SECOND,
    Verdict.FIRST,
    Verdict.TIE,
    Verdict.FAILED,
    Verdict.SECOND,
    Verdict.TIE,
]


def judged():
    comparisons, labels = [], []
    for number, verdict in enumerate(VERDICTS):
        asked = Message(role="user", content=f"question {number}")
        prompt = Prompt.create((asked,), source="x")
        one = Comparison.create(
            prompt,
            Completion.create(prompt.prompt_id, "base", generator="davinci"),
            Completion.create(prompt.prompt_id, "ours", generator="policy"),
        )
        comparisons.append(one)
        labels.append(
            Label(
                pair_id=one.pair_id,
                verdict=verdict,
                p_first=None,
                verdict_both_orders="",
                state="labeled",
                critic="judge",
                critic_returned_model="judge",
                template_hash="",
                cost_usd=0.25,
            )
        )
    return comparisons, labels


def test_the_candidate_is_output_2_and_draws_are_one_and_a_half():
    rows = annotation_rows(*judged())
    assert [row["preference"] for row in rows] == [2, 1, 1.5, None, 2, 1.5]
    assert (rows[0]["output_2"], rows[0]["generator_1"]) == ("ours", "davinci")
    assert (rows[0]["annotator"], rows[0]["price_per_example"]) == ("judge", 0.25)


def test_an_exported_evaluation_reads_back_as_it_was(tmp_path):
    comparisons, labels = judged()
    path = tmp_path / "annotations.json"
    write_json_list(path, annotation_rows(comparisons, labels))
    won = [OUTCOMES[label.verdict] for label in labels]
    assert from_annotations(path) == from_outcomes(won)
    by_prompt = {one.prompt_id: w for one, w in zip(comparisons, won, strict=True)}
    assert read_outcomes(path) == by_prompt


def test_model_outputs_are_the_candidates(tmp_path):
    rows = model_output_rows(judged()[0])
    assert rows[1] == {
        "instruction": "question 1",
        "output": "ours",
        "generator": "policy",
    }


@pytest.mark.skipif(
    importlib.util.find_spec("alpaca_eval") is None, reason="alpaca_eval is missing"
)
@pytest.mark.filterwarnings("ignore")
def test_alpaca_evals_own_code_counts_the_same(tmp_path):
    from alpaca_eval import metrics

    comparisons, labels = judged()
    path = tmp_path / "annotations.json"
    write_json_list(path, annotation_rows(comparisons, labels))
    theirs = metrics.get_winrate(json.loads(path.read_text()))
    ours = from_outcomes(OUTCOMES[label.verdict] for label in labels)
    for name in ("win_rate", "standard_error"):
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=1e-9)
    for name in ("n_wins", "n_wins_base", "n_draws", "n_total"):
        assert getattr(ours, name) == theirs[name]
