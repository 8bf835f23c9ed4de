"""Tests of `rlaif_jax.commands.expecting`, with teachers that are recorded."""

import json

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.forecasting import expect

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
