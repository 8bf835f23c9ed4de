"""Tests of `study dry_run=true` and of matched budgets: nothing is trained here."""

import json

import pytest

from rlaif_jax.commands import study
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.config_file import validate
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.files import read_json
from rlaif_jax.study.config import QuickstartConfig, StudyConfig

QUIET = Console(quiet=True)
NAMES = ("SFT weak", "SFT weak 10% + AI feedback", "SFT strong")


@pytest.fixture(scope="module")
def document(world, lab):
    """The lab's study with three arms and 40 prompts."""
    config = QuickstartConfig(seeds=(0,), workers=1)
    document = study_document(config, world=world, url=lab)
    document["prompts"]["limit"] = 40
    document["prompts"]["fractions"] = {"sft": 0.4, "aif": 0.6}
    document["arms"] = {name: document["arms"][name] for name in NAMES}
    document |= {"claims": {}, "headline": None, "dry_run": True}
    document["forecast"] = {"pilot": 20}
    return document


@pytest.fixture
def dry(document, tmp_path, monkeypatch):
    monkeypatch.setenv("RLAIF_JAX_CACHE", str(tmp_path / "cache"))

    def run(**changes):
        config = validate(StudyConfig, document | changes)
        return study.run(config, tmp_path / "out", QUIET)

    return run


def ledgers(folder):
    return {path: path.read_bytes() for path in folder.rglob("ledger.jsonl")}


def making_usd(result, arm):
    roles = ("teachers.weak", "teachers.strong", "critics.strong")
    rows = [row for row in result["stages"] if arm in row["arms"]]
    return sum(
        row["cost_usd"]
        for row in rows
        if row["role"] in roles and "baseline" not in row["title"]
    )


def test_every_stage_is_told_once_with_what_it_reads_and_asks(dry, tmp_path):
    result = dry(forecast={})
    rows = {row["stage"]: row for row in result["stages"]}
    assert len(rows) == len(result["stages"])
    assert all(set(row["needs"]) <= rows.keys() for row in rows.values())
    assert [row["verb"] for row in rows.values() if row["done"]] == ["prompts"]
    asked = {name: row["calls"] for name, row in result["roles"].items()}
    # 20 of the baseline; both orders of 24 pairs, and of 20 prompts of three arms
    assert asked == {
        "critics.strong": 48,
        "evaluator": 120,
        "teachers.strong": 40,
        "teachers.weak": 60,
    }
    assert not ledgers(tmp_path)  # and so not a cent was spent
    assert result["roles"]["evaluator"]["answers"] == "half of max_tokens"
    assert result["total"]["completion_tokens"] == 100 * 16 + 168 * 8


def test_arms_against_each_other_and_more_evaluators_are_told_too(dry, document):
    more = {
        "direct": [[NAMES[2], NAMES[0]]],
        "evaluators": [document["critics"]["strong"]],
    }
    evaluation = document["evaluation"] | more
    result = dry(forecast={}, evaluation=evaluation)
    # both orders of 20 prompts of three arms and of one pair of arms, for two of them
    assert result["roles"]["evaluator"]["calls"] == 2 * 20 * 4 * 2


def test_what_is_declared_stands_for_what_nobody_knows(dry):
    result = dry(forecast={"completion_tokens": {"evaluator": 3}})
    assert result["roles"]["evaluator"]["completion_tokens"] == 120 * 3
    assert result["roles"]["evaluator"]["answers"] == "declared"
    with pytest.raises(UsageError, match="unknown role in forecast"):
        dry(forecast={"completion_tokens": {"critics.weak": 3}})


def test_a_pilot_is_asked_once_and_its_texts_are_the_studys(dry, tmp_path):
    first = dry()
    before = ledgers(tmp_path)
    assert dry() == first
    assert ledgers(tmp_path) == before
    stages = [p for p in before if p.parent.parent.name == "stages"]
    assert sorted(p.parent.name.split("-")[0] for p in stages) == ["complete"] * 2
    pilot = read_json(tmp_path / "out" / "pilot" / "pilot.json", "pilot")
    assert {name: len(texts) for name, texts in pilot["first"].items()} == {
        "weak": 20,
        "strong": 20,
    }
    assert first["roles"]["teachers.weak"]["answers"] == "a pilot of 20 calls"


def test_device_time_needs_a_model_and_a_speed(dry):
    result = dry(forecast={"flops_per_s": 1e9})
    assert result["device_seconds_left"] == result["flops_left"] / 1e9 > 0
    away = dry(base={"model": {"path": "nowhere/base"}})
    assert (away["flops_left"], away["device_seconds_left"]) == (None, None)


def test_an_unknown_price_is_refused_before_anything_is_asked(dry, document, tmp_path):
    weak = document["teachers"]["weak"] | {
        "base_url": "https://api.example.org/v1",
        "usd_per_million_input_tokens": None,
    }
    with pytest.raises(RefusedError, match="price of 'lab-teacher-weak'"):
        dry(teachers=document["teachers"] | {"weak": weak})
    assert not ledgers(tmp_path)


def test_dollars_buy_every_arm_a_part_of_its_prompts(dry):
    whole = dry()
    judged, written = NAMES[1:]
    budget = 0.5 * (making_usd(whole, judged) - making_usd(whole, "SFT weak"))
    assert budget > making_usd(whole, written)
    result = dry(budget={"match": "usd", "usd": budget})
    assert making_usd(result, written) == making_usd(whole, written)
    label = [row for row in result["stages"] if row["verb"] == "label"]
    assert 0.8 * budget < label[0]["cost_usd"] <= budget
    titles = [r["title"] for r in result["stages"] if r["verb"] == "prompts"]
    assert titles == [
        "prompts, seed 0",
        "prompts, seed 0, at most 7 of sft and 11 of aif",
        "prompts, seed 0, at most 7 of sft",  # SFT's, whatever is judged
    ]
    with pytest.raises(UsageError, match="buys no prompt of a split"):
        dry(budget={"match": "usd", "usd": 1e-6})


def training_flops(result, arm):
    return sum(
        row["flops"]
        for row in result["stages"]
        if arm in row["arms"]
        and row["verb"] in ("sft", "dpo")
        and not row["title"].startswith("base")
    )


def test_flops_buy_every_arm_a_number_of_steps(dry):
    whole = dry(forecast={})
    budget = 30 * max(training_flops(whole, name) for name in NAMES)
    result = dry(forecast={}, budget={"match": "device_flops", "flops": budget})
    for name in NAMES:
        assert 0.95 * budget < training_flops(result, name) <= budget
    with pytest.raises(UsageError, match="no step"):
        dry(forecast={}, budget={"match": "device_flops", "flops": 1.0})


def test_what_a_budget_buys_is_decided_once(dry, tmp_path):
    budget = {"match": "device_flops", "flops": 1e12}
    first = dry(forecast={}, budget=budget)
    path = tmp_path / "out" / "budget.json"
    decided = json.loads(path.read_text())
    decided["arms"]["SFT weak"]["max_steps"] += 1
    path.write_text(json.dumps(decided))
    again = dry(forecast={}, budget=budget)
    assert {row["stage"] for row in again["stages"]} != {
        row["stage"] for row in first["stages"]
    }
