"""Tests of `rlaif_jax.commands.builds`."""

import pytest

from rlaif_jax.commands import prompts
from rlaif_jax.commands.builds import data_builds, split_overlaps
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config import PromptsConfig
from rlaif_jax.files import write_json, write_records
from rlaif_jax.records import Completion, Message, Prompt
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage, named_stage


def stage(verb, **document) -> Stage:
    return named_stage(verb, verb, document, [])


NOBODY, NOTHING = stage("complete", nobody=True), stage("prompts", nothing=True)
JUDGED = stage("evaluate")


@pytest.fixture
def stages(tmp_path):
    """Stages of which those that no test looks at came to nothing."""
    stages = Stages(tmp_path, tmp_path)
    for one, told in (
        (NOBODY, {"completions": 0}),
        (NOTHING, {"read": 0, "prompts": 0, "dropped": {}, "splits": {}}),
        (JUDGED, {"n_total": 0, "n_dropped": 0}),
    ):
        write_json(stages.folder(one) / "done.json", told)
    write_records(stages.folder(NOBODY) / "completions.jsonl", [])
    return stages


def arm(name="a", *, drawn=NOTHING, teacher=None) -> ArmStages:
    unused = dict.fromkeys(("base", "sft", "student", "label", "dpo"))
    return ArmStages(
        arm=name,
        seed=0,
        prompts=drawn,
        teacher=teacher,
        baseline=NOBODY,
        sample=NOBODY,
        evaluate=JUDGED,
        **unused,
    )


def built(step, arms, stages):
    return next(build for build in data_builds(arms, stages) if build.step == step)


def test_prompts_skipped_over_the_limit_and_over_at_most_are_told_apart(
    world, stages, run
):
    document = {
        "source": {"format": "jsonl", "path": str(world / "prompts.jsonl")},
        "fractions": {"sft": 0.5, "aif": 0.5},
        "skip": 3,
        "limit": 40,
        "at_most": {"aif": 5},
    }
    drawn = stage("prompts", **document)
    folder = stages.folder(drawn)
    told = run(prompts, PromptsConfig, document, folder)
    write_json(folder / "done.json", told)
    build = built("prompts", [arm(drawn=drawn)], stages)
    # 90 read, 30 of them held out; of 60, 3 skipped, 40 drawn, 20 to each split
    assert (build.read, build.kept) == (90, 55)
    assert build.splits == {"aif": 5, "sft": 20, "test": 20, "validation": 10}
    assert build.dropped == {"skipped": 3, "over_the_limit": 17, "over_at_most": 15}
    old = {name: told[name] for name in ("prompts", "read", "dropped", "splits")}
    write_json(folder / "done.json", old)  # as older versions left it
    assert built("prompts", [arm(drawn=drawn)], stages).dropped == {"over_a_limit": 35}


def test_a_blank_text_is_not_kept_however_it_ended(stages):
    written = [("one", "stop"), (" \n", "stop"), ("two", "length"), ("", "length")]
    written += [("", "refusal")]
    records = [
        Completion.create(str(i), text, generator="g", finish_reason=reason)
        for i, (text, reason) in enumerate(written)
    ]
    teacher = stage("complete")
    write_records(stages.folder(teacher) / "completions.jsonl", records)
    write_json(stages.folder(teacher) / "done.json", {"completions": 5})
    build = built("teacher", [arm(teacher=teacher)], stages)
    assert (build.read, build.kept) == (5, 2)
    assert build.dropped == {"blank": 2, "refusal": 1}
    assert build.cut == {"at the token limit": 1}


def test_arms_with_parts_of_one_draw_count_its_overlaps_once(stages):
    def said(text, split):
        message = Message(role="user", content=text)
        return Prompt.create((message,), source="s", split=split)

    whole = [said(*one) for one in (("x", "aif"), ("y", "aif"), ("x", "test"))]
    drawn = (
        (stage("prompts", seed=0), whole),
        (stage("prompts", seed=0, at_most={"aif": 1}), [whole[0], whole[2]]),
        (stage("prompts", seed=1), whole),
    )
    for one, of_it in drawn:
        write_records(stages.folder(one) / "prompts.jsonl", of_it)
    arms = [arm(str(n), drawn=one) for n, (one, _) in enumerate(drawn)]
    (overlap,) = split_overlaps(arms, stages)
    assert (overlap.first, overlap.second) == ("aif", "test")
    assert (overlap.prompts, overlap.of) == (2, 2)  # once for each of two draws
