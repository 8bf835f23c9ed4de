"""Tests of `rlaif_jax.study.results_file`."""

import json

import pytest

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.study.report import write_report
from rlaif_jax.study.results_file import read_results, summarize, write_results

LISTS = ("differences", "second_opinions")


def test_what_is_written_is_read_back_in_the_same_order(make_study, tmp_path):
    study, path = make_study(), tmp_path / "results.json"
    write_results(path, study)
    back = read_results(path)
    assert back == study
    assert list(back.arms) == list(study.arms)


def test_the_summary_keeps_its_contract(make_study):
    summary = summarize(make_study(), report="r.html")
    assert set(summary["arms"]["sft_weak"]) == {
        "win_rate",
        "standard_error",
        "n",
        "cost_usd",
        "prompts",
        "making_usd",
        "training_flops",
        "seeds",
    }
    assert summary["arms"]["sft_weak"]["n"] == 60
    assert summary["arms"]["sft_weak"]["seeds"] == 2
    keys = {"a", "b", "difference", "low", "high", "adjusted_p_value", "power"}
    keys |= {"across"}
    assert set(summary["differences"][0]) == keys
    assert set(summary["differences"][0]["power"]) == {"difference", "power", "prompts"}
    assert len(summary["differences"]) == 6
    opinions = summary["second_opinions"]
    pairs = [[(one["a"], one["b"]) for one in summary[key]] for key in LISTS]
    assert pairs[0] == pairs[1]
    assert set(opinions[0]["bootstrap"]) == {"low", "high", "resamples"}
    assert set(opinions[0]["sign_test"]) == {"n_better", "n_worse", "p_value"}
    verdicts = {"supported", "not supported", "undecided"}
    assert set(summary["claims"]) == {"a", "b", "c"}
    assert set(summary["claims"].values()) <= verdicts
    assert (summary["seconds"], summary["report"]) == (372.4, "r.html")


def test_arms_share_a_stage_that_was_paid_once(make_study):
    summary = summarize(make_study(), report="")
    each = sum(arm["cost_usd"] for arm in summary["arms"].values())
    # the two teachers' completions stand in two arms each: .0281 + .2812 twice
    assert each - summary["cost_usd"] == pytest.approx(0.3093)


def test_the_file_begins_with_the_summary(make_study, tmp_path):
    write_results(tmp_path / "results.json", make_study())
    document = json.loads((tmp_path / "results.json").read_text())
    assert list(document)[:2] == ["format", "arms"]
    assert document["report"].endswith("report.html")


def test_a_file_from_before_audits_and_hashes_is_read(make_study, tmp_path):
    path = tmp_path / "results.json"
    write_results(path, make_study(curves=()))
    document = json.loads(path.read_text())
    study = document["study"]
    for field in ("budget", "audits", "builds", "overlaps", "settings", "judging"):
        del study[field]
    for stage in study["stages"]:
        del stage["title"], stage["folder"]
    for sample in study["samples"]:
        del sample["prompt_id"]
    path.write_text(json.dumps(document))
    old = read_results(path)
    assert old.win_rates() == make_study().win_rates()
    assert write_report(old, tmp_path / "again").page.is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "format 2, not 1"),
        (lambda d: d.pop("format"), "format None"),
        (lambda d: d.pop("study"), "study"),
        (lambda d: d["study"].pop("arms"), "study.arms: Field required"),
        (lambda d: d["study"].update(new=1), "study.new"),
    ],
)
def test_a_file_that_was_changed_is_corrupt(make_study, tmp_path, change, message):
    path = tmp_path / "results.json"
    write_results(path, make_study(prompts=4, seeds=1))
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(CorruptDataError, match=message):
        read_results(path)


def test_a_missing_file_is_the_users_mistake(tmp_path):
    with pytest.raises(UsageError, match="no results of a study"):
        read_results(tmp_path / "results.json")
