"""Tests of `rlaif_jax.commands.collect`."""

from pathlib import Path

import rlaif_jax.lab
from rlaif_jax.commands.collect import _judged, _num_prompts
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config_file import load_config
from rlaif_jax.files import write_records
from rlaif_jax.records import Message, Prompt
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph

LAB = Path(rlaif_jax.lab.__file__).parent / "study.yaml"
CUT = (
    "arms={judged: {teacher: weak, sft_splits: [sft], critic: strong,"
    " aif_splits: [aif], at_most: {aif: 3, sft: 2}}, other: {teacher: weak,"
    " sft_splits: [sft], pairs_of: judged, at_most: {sft: 1}}}"
)


def test_an_arm_learned_from_the_judged_prompts_that_another_arm_has_labels_of(
    tmp_path,
):
    overrides = (CUT, "claims={}", "headline=null", "seeds=[0]")
    config = load_config(StudyConfig, [str(LAB), *overrides])
    arms, stages = build_graph(config), Stages(tmp_path, tmp_path / "cache")
    for arm in arms:
        most = arm.prompts.document["at_most"]
        drawn = [
            Prompt.create(
                (Message(role="user", content=f"{split} {i}"),), source="", split=split
            )
            for split in ("sft", "aif", "test")
            for i in range(most.get(split, 8))
        ]
        folder = stages.folder(arm.prompts)
        folder.mkdir(parents=True, exist_ok=True)
        write_records(folder / "prompts.jsonl", drawn)
    counts = {arm.arm: _num_prompts(config, arm.arm, arms, stages) for arm in arms}
    assert counts == {"judged": 5, "other": 4}


def test_evaluators_of_one_name_have_a_win_rate_each():
    told = [("m", 10.0), ("m", 20.0), ("n", 30.0), ("m", 40.0)]
    evaluators = [{"evaluator": name, "win_rate": rate} for name, rate in told]
    assert _judged({"evaluators": evaluators}) == {
        "by_m (2)_rate": 0.2,
        "by_n_rate": 0.3,
        "by_m (4)_rate": 0.4,
    }
