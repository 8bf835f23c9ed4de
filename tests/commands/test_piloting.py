"""Tests of `rlaif_jax.commands.piloting`, on the lab's models: nothing is trained."""

import json

import pytest

from rlaif_jax.commands.budgeting import within_budget
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.forecasting import expect
from rlaif_jax.commands.piloting import pilot_bill
from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config_file import validate
from rlaif_jax.study.bill import Spend, total_bill
from rlaif_jax.study.config import QuickstartConfig, StudyConfig
from rlaif_jax.study.graph import build_graph

QUIET = Console(quiet=True)


@pytest.fixture
def study(world, lab, tmp_path):
    """Makes the lab's study, where the weak teacher writes the baseline alone."""

    def make(arm, **changes):
        document = study_document(
            QuickstartConfig(seeds=(0,), workers=1), world=world, url=lab
        )
        document["prompts"]["limit"] = 40
        document["prompts"]["fractions"] = {"sft": 0.4, "aif": 0.6}
        document["arms"] = {"judged": document["arms"][arm] | {"teacher": "strong"}}
        document |= {"claims": {}, "headline": None, "forecast": {"pilot": 20}}
        config = validate(StudyConfig, document | changes)
        return config, Stages(tmp_path / "out" / "stages", tmp_path / "cache")

    return make


def paid(out):
    """Calls and dollars of every ledger; a line that was handed on is one line."""
    files = [path.read_text() for path in out.rglob("ledger.jsonl")]
    lines = {line for text in files for line in text.splitlines()}
    records = [json.loads(line) for line in lines]
    results = [one for one in records if one["kind"] == "result"]
    usd = sum(one["cost_usd"] for one in results)
    return len(records) - len(results), pytest.approx(usd)


def billed(config, arms, stages):
    """Calls and dollars of the teachers' stages and of the pilot."""
    written = {s.digest: s for a in arms for s in a.all() if s.verb == "complete"}
    spends = [
        Spend(**{name: result[name] for name in Spend.model_fields})
        for result in map(stages.result, written.values())
    ]
    pilot = total_bill(pilot_bill(config, arms, stages)).all_roles
    total = sum(spends, pilot)
    return total.calls, total.cost_usd


def write(arms, stages):
    """Runs what teachers write, and nothing else."""
    every = [one for arm in arms for one in arm.all()]
    asked = [one for one in every if one.verb in ("prompts", "complete")]
    stages.run(asked, workers=1, console=QUIET)


@pytest.mark.parametrize("usd", [0.03, 0.01])
def test_every_call_of_a_pilot_is_in_the_bill_once(study, tmp_path, usd):
    arm = "SFT weak 10% + AI feedback"
    config, stages = study(arm, budget={"match": "usd", "usd": usd})
    out = tmp_path / "out"
    cut = within_budget(config, stages, out, QUIET)
    assert (sum(cut.arms["judged"].at_most.values()) < 20) == (usd == 0.01)
    arms = build_graph(cut)
    write(arms, stages)
    assert billed(cut, arms, stages) == paid(out)


def test_a_pilot_that_is_asked_again_adds_to_its_bill(study, tmp_path):
    config, stages = study("SFT strong")
    out, arms = tmp_path / "out", build_graph(config)
    for pilot in (6, 4):
        forecast = config.forecast.model_copy(update={"pilot": pilot})
        now = config.model_copy(update={"forecast": forecast})
        expect(now, arms, stages, out, QUIET)
    write(arms, stages)
    assert billed(config, arms, stages) == paid(out)
