"""Tests of `rlaif_jax.commands.operations`."""

import json

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.forecasting import expect
from rlaif_jax.commands.operations import Operations, trained_flops


def test_the_sft_behind_borrowed_labels_is_taken_before_a_budget_buys_steps(
    recorded_study,
):
    config, arms, stages, out = recorded_study
    expected = expect(config, arms, stages, out, Console(quiet=True))
    operations = Operations(config, arms, expected)
    by_name = {one.arm: one for one in arms}
    borrower, source = by_name["borrower"], by_name["SFT weak 10% + AI feedback"]
    own = operations.flops(borrower.sft)
    assert borrower.base is not None  # trained from scratch, and in neither
    assert own is not None and own > 0
    more = operations.fixed_flops(borrower) - operations.fixed_flops(source)
    assert more == own  # scoring by the reference is the same


def test_training_a_base_is_no_training_of_an_arm(recorded_study):
    _, (arm, *_), stages, _ = recorded_study
    for stage in (arm.base, arm.sft):
        folder = stages.folder(stage)
        folder.mkdir(parents=True)
        lines = [json.dumps({"step": step, "flops": 7.0}) for step in range(2)]
        (folder / "timing.jsonl").write_text("\n".join(lines))
    assert trained_flops(arm.sft, stages) == 14.0
    assert trained_flops(arm.base, stages) == 0.0
