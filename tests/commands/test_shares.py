"""Tests of `rlaif_jax.commands.shares`."""

from pathlib import Path

import pytest

import rlaif_jax.lab
from rlaif_jax.commands.shares import needed_prompts
from rlaif_jax.config_file import load_config
from rlaif_jax.records import Message, Prompt
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph

LAB = Path(rlaif_jax.lab.__file__).parent / "study.yaml"
SOURCE = "SFT weak 10% + AI feedback"
HELD_OUT = "sft.validation={splits: [validation], every_steps: 5}"
SPLITS = ("sft", "aif", "validation", "test")
PROMPTS = {
    split: Prompt.create(
        (Message(role="user", content=split),), source="made", split=split
    )
    for split in SPLITS
}


@pytest.fixture(scope="module")
def study():
    """The lab's, with an arm that borrows the weak teacher's labels."""

    def make(teacher, split, **source):
        config = load_config(StudyConfig, [str(LAB), "seeds=[0]", HELD_OUT])
        arm = config.arms["SFT strong"].model_copy(
            update={"teacher": teacher, "sft_splits": (split,), "pairs_of": SOURCE}
        )
        own = config.arms[SOURCE].model_copy(update=source)
        arms = {"borrower": arm, SOURCE: own}
        config = config.model_copy(update={"arms": arms})
        return config, {one.arm: one for one in build_graph(config)}

    return make


def needed(study, name, teacher):
    config, arms = study
    asked = needed_prompts(config, arms[name], teacher, lambda _: PROMPTS.values())
    return [prompt.split for prompt in asked.values()]


def test_an_arm_needs_its_own_splits_of_its_teacher_and_the_sources_of_a_borrowed_one(
    study,
):
    made = study("strong", "sft")
    borrower = made[1]["borrower"]
    weak = made[1][SOURCE].teacher
    assert borrower.teacher != weak
    assert needed(made, "borrower", borrower.teacher) == ["sft", "validation"]
    assert needed(made, "borrower", weak) == ["sft", "aif", "validation"]


def test_of_a_teacher_that_is_also_the_sources_an_arm_needs_both_parts(study):
    made = study("weak", "test", pairs="student_student")
    borrower = made[1]["borrower"]
    assert borrower.teacher == made[1][SOURCE].teacher
    asked = needed(made, "borrower", borrower.teacher)
    assert {"sft", "test"} <= {*asked}
    assert "aif" not in asked  # nobody writes what two students do


def test_each_part_is_of_the_prompts_of_the_arm_whose_it_is(study):
    made = study("weak", "sft", at_most={"aif": 3})
    read = []
    needed_prompts(
        made[0],
        made[1]["borrower"],
        made[1][SOURCE].teacher,
        lambda stage: read.append(stage) or (),
    )
    assert read == [made[1]["borrower"].prompts, made[1][SOURCE].prompts]
    assert read[0] != read[1]


def test_the_baselines_texts_make_no_arm(study):
    made = study("strong", "sft")
    assert needed(made, "borrower", made[1]["borrower"].baseline) == []
