"""Tests of `rlaif_jax.commands.expecting`, with teachers that are recorded."""

import json

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.expecting import Expected
from rlaif_jax.commands.forecasting import expect
from rlaif_jax.config_file import validate
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph

QUIET = Console(quiet=True)


def test_recorded_texts_are_as_long_as_in_their_file_and_need_no_pilot(recorded_study):
    config, arms, stages, out = recorded_study
    expected = expect(config, arms, stages, out, QUIET)
    found = {role: (a.text_bytes, a.source) for role, a in expected.answers.items()}
    assert found["teachers.weak"] == (8, "the recorded file")
    assert found["teachers.strong"] == (40, "the recorded file")
    pilot = json.loads((out / "pilot" / "pilot.json").read_text())
    assert pilot["prompts"] == 0
    assert not [*out.rglob("ledger.jsonl")]


def test_texts_of_a_stage_that_asked_nobody_count(recorded_study):
    config, arms, stages, out = recorded_study
    (arm,) = [one for one in arms if one.arm == "SFT strong"]
    written = [one for one in arm.all() if one.verb in ("prompts", "complete")]
    stages.run(written, workers=1, console=QUIET)
    found = expect(config, arms, stages, out, QUIET).answers["teachers.strong"]
    assert (found.text_bytes, found.source) == (40, "stages that are done")


def test_each_of_several_evaluators_is_priced_by_its_own_answers(recorded_study):
    config, _, stages, out = recorded_study
    document = config.model_dump(mode="json")
    brief = document["evaluation"]["evaluator"]
    wordy = brief | {"model": "wordy", "usd_per_million_output_tokens": 1e6}
    brief |= {"usd_per_million_output_tokens": 0.0}
    for one in (brief, wordy):
        one["usd_per_million_input_tokens"] = 0.0
    document["evaluation"] |= {"evaluator": brief, "evaluators": [wordy]}
    changed = validate(StudyConfig, document)
    arms = build_graph(changed)
    expect(changed, arms, stages, out, QUIET)  # draws the prompts
    calls = {"calls": 10, "prompt_tokens": 10, "expected_prompt_tokens": 10}
    seen = {
        "evaluator": {name: 2 * n for name, n in calls.items()},
        "evaluator#0": calls | {"completion_tokens": 20},
        "evaluator#1": calls | {"completion_tokens": 100},
    }
    seen["evaluator"]["completion_tokens"] = 120
    pilot = {"seen": seen, "first": {}, "second": {}}
    took = Expected(changed, arms, stages, pilot).spend(arms[0].evaluate)
    # both orders of 20 prompts: 2 tokens of the brief one, 10 of the wordy one at $1
    assert took.calls == 80
    assert took.completion_tokens == 40 * 2 + 40 * 10
    assert took.cost_usd == 40 * 10
