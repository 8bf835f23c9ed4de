"""Tests of `rlaif_jax.study.graph`."""

from pathlib import Path

import pytest

import rlaif_jax.lab
from rlaif_jax.config_file import load_config
from rlaif_jax.errors import UsageError
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph, stages_with_arms

LAB = Path(rlaif_jax.lab.__file__).parent / "study.yaml"


def graph(*overrides):
    return build_graph(load_config(StudyConfig, [str(LAB), *overrides]))


def by_arm(arms, seed=0):
    return {stages.arm: stages for stages in arms if stages.seed == seed}


def digests(arms):
    return {stage.digest for stages in arms for stage in stages.all()}


def test_arms_share_what_they_have_in_common():
    arms = by_arm(graph())
    weak, feedback = arms["SFT weak"], arms["SFT weak 10% + AI feedback"]
    assert weak.teacher == feedback.teacher
    assert weak.base == feedback.base
    assert weak.baseline == arms["SFT strong"].baseline
    assert weak.sft != feedback.sft
    assert weak.dpo is None


def test_every_stage_is_told_once_with_the_arms_that_need_it():
    arms = graph()
    told = stages_with_arms(arms)
    assert told.keys() == digests(arms)
    weak = by_arm(arms)["SFT weak"]
    assert told[weak.sft.digest] == (weak.sft, ["SFT weak"])
    assert "SFT weak 10% + AI feedback" in told[weak.teacher.digest][1]
    for digest, (stage, names) in told.items():
        assert stage.digest == digest
        needing = [arm.arm for arm in arms if stage in arm.all()]
        assert names == list(dict.fromkeys(needing))


def test_seeds_share_only_the_baseline():
    arms = graph()
    one = digests([a for a in arms if a.seed == 0])
    two = digests([a for a in arms if a.seed == 1])
    shared = {s.title for a in arms for s in a.all() if s.digest in one & two}
    assert shared == {"weak writes, baseline"}


def test_inputs_come_before_their_readers():
    for stages in graph():
        seen = set()
        for stage in stages.all():
            assert stage.needs <= seen | {stages.baseline.digest} | digests(graph())
            seen.add(stage.digest)


def test_a_name_depends_on_what_can_change_the_answer():
    before = digests(graph())
    assert digests(graph("teachers.weak.base_url=http://127.0.0.1:1/v1")) == before
    assert digests(graph("workers=1")) == before
    assert not digests(graph("prompts.limit=100", "seeds=[0]")) & (
        before - {by_arm(graph())["SFT weak"].base.digest}
    )


def test_a_change_renames_only_what_follows_from_it():
    before, after = by_arm(graph()), by_arm(graph("dpo.loss.beta=0.1"))
    old, new = before["SFT strong"], after["SFT strong"]
    assert old == new
    old = before["SFT weak 10% + AI feedback"]
    new = after["SFT weak 10% + AI feedback"]
    assert old.label == new.label
    assert old.dpo != new.dpo
    assert old.evaluate != new.evaluate


def test_an_input_file_counts_by_its_content(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("one")
    override = f"prompts.source.path={path}"
    first = digests(graph(override))
    assert digests(graph(override)) == first
    path.write_text("two")
    assert digests(graph(override)) != first


def test_what_sft_is_validated_on_is_written_too_and_is_no_split_of_an_arm():
    held_out = "sft.validation={splits: [validation], select: loss}"
    stages = by_arm(graph(held_out, "dpo.validation.select=loss"))
    arm = stages["SFT weak 10% + AI feedback"]
    assert "validation" in arm.teacher.document["splits"]
    assert "validation" not in arm.label.document["splits"]
    assert arm.sft.document["validation"]["splits"] == ["validation"]
    assert arm.dpo.document["validation"]["select"] == "loss"
    for split, message in (("sft", "trained on and validated on"), ("test", "test")):
        with pytest.raises(UsageError, match=message):
            graph(f"sft.validation.splits=[{split}]")
    with pytest.raises(UsageError, match="on which the arms are compared"):
        graph(held_out, "evaluation.split=validation")


STUDENT_PAIRS = (
    "arms.x={teacher: weak, sft_splits: [sft], sft_epochs: 8, critic: strong,"
    " aif_splits: [aif], pairs: student_student}"
)


def test_students_pairs_are_two_samples_that_differ_in_their_seed_alone():
    arms = by_arm(graph(STUDENT_PAIRS, "seeds=[0]", "claims={}", "headline=null"))
    arm, usual = arms["x"], arms["SFT weak 10% + AI feedback"]
    assert arm.student == usual.student
    assert arm.rival.document | {"seed": 0} == arm.student.document | {"seed": 0}
    assert arm.rival.document["seed"] != arm.student.document["seed"]
    assert arm.label.document["first"] == arm.rival.output("completions.jsonl")
    assert arm.label.document["second"] == arm.student.output("completions.jsonl")
    assert usual.rival is None


def test_a_teacher_writes_nothing_that_only_students_are_asked_for():
    arms = "arms={x: {teacher: weak, sft_splits: [sft], critic: strong,"
    arms += " aif_splits: [aif], pairs: student_student}}"
    (stages,) = graph(arms, "seeds=[0]", "claims={}", "headline=null")
    assert stages.teacher.document["splits"] == ["sft"]


def two_bases(*overrides):
    given = "bases={a: {model: {path: nowhere/a}}, b: {model: {path: nowhere/b}}}"
    rlaif = "teacher: weak, sft_splits: [sft], "
    judged = rlaif + "critic: strong, aif_splits: [aif]"
    arms = f"a: {{base: a, {judged}}}, b: {{base: b, {judged}}}"
    arms += f", b on a: {{base: b, {rlaif}pairs_of: a}}, none: {{base: a}}"
    return by_arm(
        graph(
            "base=null",
            given,
            f"arms={{{arms}}}",
            "seeds=[0]",
            "claims={}",
            "headline=null",
            *overrides,
        )
    )


def test_an_arm_may_be_trained_on_the_pairs_of_another_with_another_base():
    arms = two_bases()
    assert arms["b on a"].sft == arms["b"].sft != arms["a"].sft
    assert arms["b on a"].label == arms["a"].label != arms["b"].label
    assert arms["b on a"].dpo.needs == {arms["b"].sft.digest, arms["a"].label.digest}
    every = {stage.digest for stage in arms["b on a"].all()}
    assert arms["a"].sft.digest in every  # it is paid for, too
    assert arms["a"].student.digest in every
    assert arms["b"].student.digest not in every


def test_an_arm_without_sft_is_its_base_model():
    stages = two_bases()["none"]
    assert stages.sample.document["model"]["path"] == "nowhere/a"
    assert [s.verb for s in stages.all()] == [
        "prompts",
        "complete",
        "sample",
        "evaluate",
    ]
    (trained,) = (s for s in graph("arms.base={}", "seeds=[0]") if s.arm == "base")
    assert trained.sample.document["model"] == {"path": trained.base.output()}


def test_an_arms_own_loss_is_in_its_dpo_alone():
    arm = "arms.ipo={teacher: weak, sft_splits: [sft], sft_epochs: 8, critic: strong,"
    arm += " aif_splits: [aif], loss: {name: ipo_sum, beta: 0.1}}"
    arms = by_arm(graph(arm, "seeds=[0]"))
    own, usual = arms["ipo"], arms["SFT weak 10% + AI feedback"]
    assert own.label == usual.label
    assert own.dpo.document["loss"]["name"] == "ipo_sum"
    assert usual.dpo.document["loss"]["name"] == "dpo"


def test_an_arm_with_fewer_prompts_shares_a_teacher_with_one_that_has_more():
    few = (
        "arms.few={teacher: weak, sft_splits: [sft], sft_epochs: 8, at_most: {sft: 9}}"
    )
    arms = by_arm(graph(few, "seeds=[0]"))
    assert arms["few"].teacher == arms["SFT weak"].teacher
    assert arms["few"].prompts.document["at_most"] == {"sft": 9}
    assert arms["few"].sft.document["prompts"] == arms["few"].prompts.output(
        "prompts.jsonl"
    )
    all_prompts = arms["SFT weak"].prompts
    assert all_prompts.digest in arms["few"].evaluate.needs
    assert all_prompts in arms["few"].all()
    alone = graph(
        "arms={few: {teacher: weak, sft_splits: [sft], at_most: {sft: 9}}}",
        "seeds=[0]",
        "claims={}",
        "headline=null",
    )[0]
    assert alone.teacher.document["prompts"] == alone.prompts.output("prompts.jsonl")


def test_arms_that_differ_in_what_is_judged_share_their_sft():
    rlaif = "teacher: weak, sft_splits: [sft], critic: strong, aif_splits: [aif]"
    arms = f"all: {{{rlaif}}}, few: {{{rlaif}, at_most: {{aif: 5}}}}, less: {{{rlaif},"
    arms += " at_most: {sft: 9, aif: 5}}, less sft: {teacher: weak, sft_splits: [sft],"
    arms += " at_most: {sft: 9}}"
    rest = ("seeds=[0]", "claims={}", "headline=null")
    found = by_arm(graph(f"arms={{{arms}}}", *rest))
    assert found["few"].sft == found["all"].sft
    assert found["few"].student != found["all"].student
    assert found["few"].label.document["prompts"] == found["few"].prompts.output(
        "prompts.jsonl"
    )
    assert found["less"].sft == found["less sft"].sft != found["all"].sft
    for stages in found.values():
        assert all(one.needs <= digests([stages]) for one in stages.all())


def test_what_an_arms_own_teacher_read_comes_before_what_another_arms_did():
    source = "source: {teacher: weak, sft_splits: [sft], at_most: {sft: 5, aif: 5},"
    source += " critic: strong, aif_splits: [aif]}"
    names = [f"arm {number}" for number in range(9)]  # no order of a set by chance
    own = "{teacher: strong, sft_splits: [sft], at_most: {sft: 9}, pairs_of: source}"
    arms = ", ".join([source, *(f"{name}: {own}" for name in names)])
    rest = ("seeds=[0]", "claims={}", "headline=null")
    found = by_arm(graph(f"arms={{{arms}}}", *rest))
    for name in names:
        most = [one.document["at_most"] for one in found[name].other_prompts[1:]]
        assert most == [{"sft": 9}, {"sft": 9}, {"sft": 5, "aif": 5}, {"sft": 5}]


def test_steps_stand_for_epochs_of_the_last_training():
    arm = "arms.x={teacher: weak, sft_splits: [sft], sft_epochs: 8, critic: strong,"
    arms = by_arm(graph(f"{arm} aif_splits: [aif], max_steps: 7}}", "seeds=[0]"))
    usual = arms["SFT weak 10% + AI feedback"]
    assert arms["x"].sft == usual.sft
    assert arms["x"].dpo.document["max_steps"] == 7
    assert arms["x"].dpo.document["epochs"] >= 7
    assert "max_steps" not in usual.dpo.document


def test_arms_may_be_judged_against_each_other():
    weak, strong = "SFT weak", "SFT strong"
    alone = digests(graph())
    arms = by_arm(graph(f"evaluation.direct=[[{strong}, {weak}]]"))
    (direct,) = arms[strong].direct
    assert arms[weak].direct == ()
    assert direct.document["candidate"] == arms[strong].sample.output(
        "completions.jsonl"
    )
    assert direct.document["baseline"] == arms[weak].sample.output("completions.jsonl")
    assert direct in arms[strong].all()
    assert digests(arms.values()) - alone == {direct.digest}
    with pytest.raises(UsageError, match="unknown arm 'nobody'"):
        graph(f"evaluation.direct=[[{strong}, nobody]]")


def test_more_evaluators_are_another_evaluation():
    seat = "{api: openai, base_url: http://127.0.0.1:1/v1, model: another}"
    one, two = by_arm(graph()), by_arm(graph(f"evaluation.evaluators=[{seat}]"))
    for name, stages in one.items():
        assert stages.sample == two[name].sample
        assert stages.evaluate.digest != two[name].evaluate.digest
        assert "evaluators" not in stages.evaluate.document
