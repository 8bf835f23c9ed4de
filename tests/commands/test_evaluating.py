"""Tests of `evaluate` with several evaluators, votes, and AlpacaEval's files."""

import gzip
import importlib.util
import json
from pathlib import Path

import pytest

from rlaif_jax.commands import evaluate, prompts
from rlaif_jax.config import EvaluateConfig, PromptsConfig
from rlaif_jax.config_file import validate
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.files import read_json_list, read_records
from rlaif_jax.records import JudgedCompletion

SHARED = Path(__file__).parents[3] / "shared" / "data" / "alpaca_eval"
needs_recorded = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no recorded evaluations beside the repository"
)


@pytest.fixture
def document(drawn, written, endpoint):
    return {
        "prompts": str(drawn),
        "candidate": str(written["strong"]),
        "baseline": str(written["weak"]),
        "evaluator": endpoint("lab-evaluator"),
    }


def test_every_evaluator_has_a_win_rate_of_its_own(
    document, tmp_path, run, endpoint, capsys
):
    alone = run(evaluate, EvaluateConfig, document, tmp_path / "alone")
    weak = endpoint("lab-critic-weak")
    both = document | {"evaluators": [weak]}
    dry = run(evaluate, EvaluateConfig, both | {"dry_run": True}, tmp_path / "dry")
    out = tmp_path / "both"
    result = run(evaluate, EvaluateConfig, both, out)
    assert result["win_rate"] == alone["win_rate"]
    strong, other = result["evaluators"]
    assert strong["evaluator"] == "lab-evaluator" and other["win_rate"] < 100
    assert other == other | {"evaluator": "lab-critic-weak", "n_total": 70}
    assert result["calls"] == dry["estimate"]["calls"] == 2 * alone["calls"]
    said = [
        [one.label.verdict for one in read_records(file, JudgedCompletion)]
        for file in (out / "verdicts.jsonl", out / "evaluator_2" / "verdicts.jsonl")
    ]
    same = sum(a is b for a, b in zip(*said, strict=True))
    assert result["agreement"]["share"]["value"] == pytest.approx(same / 70)
    assert -1 < result["agreement"]["alpha"]["value"] < 1
    evaluate.show(result, out)
    shown = capsys.readouterr().out
    assert "lab-critic-weak: win rate" in shown and "evaluators agree on" in shown
    assert run(evaluate, EvaluateConfig, both, out) == result  # from the ledger


def test_one_budget_holds_for_all_evaluators(document, tmp_path, run, endpoint):
    alone = run(evaluate, EvaluateConfig, document, tmp_path / "alone")
    both = document | {"evaluators": [endpoint("lab-critic-weak")]}
    short = both | {"budget_usd": 1.5 * alone["cost_usd"]}
    out = tmp_path / "both"
    with pytest.raises(RefusedError, match="budget reached"):
        run(evaluate, EvaluateConfig, short, out)
    raised = both | {"budget_usd": 10}
    result = run(evaluate, EvaluateConfig, raised, out)
    assert result["cost_usd"] == pytest.approx(2 * alone["cost_usd"], rel=0.05)
    assert (out / "evaluator_2" / "ledger.jsonl").exists()


def test_an_evaluator_may_vote(document, tmp_path, run, endpoint, capsys):
    one = run(evaluate, EvaluateConfig, document, tmp_path / "one")
    voting = {"evaluator": endpoint("lab-evaluator", votes=3)}
    result = run(evaluate, EvaluateConfig, document | voting, tmp_path / "three")
    assert "votes" not in one
    assert result["calls"] == 3 * one["calls"]
    assert result["win_rate"] == one["win_rate"]  # the lab says the same every time
    assert result["votes"]["repeat_flips"]["value"] == 0.0
    evaluate.show(result, tmp_path / "three")
    assert "votes of one model differ in 0.0 %" in capsys.readouterr().out


def test_an_evaluator_is_asked_once(document):
    with pytest.raises(UsageError, match=r"evaluators\.0 is an evaluator already"):
        validate(EvaluateConfig, document | {"evaluators": [document["evaluator"]]})


def test_what_an_evaluation_exports_is_a_candidate_and_a_baseline(
    document, tmp_path, run
):
    first = run(evaluate, EvaluateConfig, document, tmp_path / "first")
    theirs = tmp_path / "first" / "model_outputs.json"
    again = run(
        evaluate,
        EvaluateConfig,
        document | {"candidate": str(theirs)},
        tmp_path / "again",
    )
    assert again["win_rate"] == first["win_rate"]
    recorded = run(
        evaluate, EvaluateConfig, {"recorded": first["annotations"]}, tmp_path / "r"
    )
    for key in ("win_rate", "standard_error", "n_draws", "length_controlled"):
        assert recorded[key] == first[key]
    swapped = document | {"baseline": str(theirs), "candidate": document["baseline"]}
    other = run(evaluate, EvaluateConfig, swapped, tmp_path / "swapped")
    assert other["win_rate"] == pytest.approx(100 - first["win_rate"])


def test_length_control_can_be_left_out(document, tmp_path, run, capsys):
    off = document | {"length_control": "none"}
    result = run(evaluate, EvaluateConfig, off, tmp_path / "off")
    assert result["length_controlled"] is None
    evaluate.show(result, tmp_path / "off")
    assert "at equal length" not in capsys.readouterr().out


def test_the_package_is_missed_before_anything_is_asked(document, tmp_path, run):
    wanted = document | {"length_control": "alpaca_eval"}
    with pytest.raises(UsageError, match="alpaca_eval"):  # missing, or other prompts
        run(evaluate, EvaluateConfig, wanted, tmp_path / "e")
    assert not (tmp_path / "e" / "ledger.jsonl").exists()


@needs_recorded
def test_recorded_files_are_evaluated_as_published(tmp_path, run, capsys):
    file = SHARED / "claude.annotations.json.gz"
    result = run(evaluate, EvaluateConfig, {"recorded": str(file)}, tmp_path / "e")
    assert result["win_rate"] == pytest.approx(91.5527950310559, abs=1e-9)
    assert result["standard_error"] == pytest.approx(0.9807635016419884, abs=1e-9)
    assert result["length_controlled"]["win_rate"] == pytest.approx(73.53, abs=0.01)
    evaluate.show(result, tmp_path / "e")
    assert "at equal length 73.53 %" in capsys.readouterr().out


@needs_recorded
@pytest.mark.skipif(
    importlib.util.find_spec("alpaca_eval") is None, reason="alpaca_eval is missing"
)
@pytest.mark.filterwarnings("ignore")
def test_alpaca_eval_finds_our_figures_in_our_export(tmp_path, run):
    from alpaca_eval import metrics

    rows = json.loads(
        gzip.decompress((SHARED / "phi-2.annotations.json.gz").read_bytes())
    )
    for side in (1, 2):
        outputs = [
            {
                "instruction": row["instruction"],
                "output": row[f"output_{side}"],
                "generator": row[f"generator_{side}"],
            }
            for row in rows
        ]
        (tmp_path / f"{side}.json").write_text(json.dumps(outputs))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    source = {"format": "alpaca_eval", "path": str(tmp_path / "a.json")}
    run(prompts, PromptsConfig, {"source": source}, tmp_path / "p")
    document = {
        "prompts": str(tmp_path / "p" / "prompts.jsonl"),
        "baseline": str(tmp_path / "1.json"),
        "candidate": str(tmp_path / "2.json"),
        "evaluator": {"api": "recorded", "file": str(tmp_path / "a.json")},
    }
    result = run(evaluate, EvaluateConfig, document, tmp_path / "e")
    theirs = metrics.get_winrate(read_json_list(Path(result["annotations"]), "x"))
    for name in ("win_rate", "standard_error"):
        assert result[name] == pytest.approx(theirs[name], abs=1e-9)
    for name in ("n_wins", "n_wins_base", "n_draws", "n_total"):
        assert result[name] == theirs[name]
