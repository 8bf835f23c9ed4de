"""Tests of `rlaif_jax.study.graph`."""

from pathlib import Path

import pytest

import rlaif_jax.lab
from rlaif_jax.config_file import load_config, validate
from rlaif_jax.errors import UsageError
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph, resolve

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


def test_references_become_paths():
    stages = by_arm(graph())["SFT weak"]
    folders = {d: Path("root") / d[:4] for d in digests(graph())}
    document = resolve(stages.evaluate.document, folders)
    assert document["candidate"] == str(
        Path("root") / stages.sample.digest[:4] / "completions.jsonl"
    )
    with pytest.raises(KeyError):
        resolve(stages.evaluate.document, {})


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


def pinned(**critic):
    """An arm whose stages are in folders of earlier versions."""
    lab = {"api": "openai", "base_url": "http://127.0.0.1:8765/v1", "max_tokens": 16}
    prices = {"usd_per_million_input_tokens": 1, "usd_per_million_output_tokens": 2}
    document = {
        "name": "pinned",
        "prompts": {"source": {"format": "jsonl", "path": "nowhere/prompts.jsonl"}},
        "teachers": {"weak": lab | prices | {"model": "teacher"}},
        "critics": {
            "strong": critic
            if critic.get("api") == "jury"
            else lab | prices | {"model": "critic", **critic}
        },
        "baseline": "weak",
        "base": {"model": {"path": "nowhere/base"}},
        "sft": {"optimizer": {"name": "adamw", "learning_rate": 1e-3}},
        "dpo": {"optimizer": {"name": "adamw", "learning_rate": 1e-4}},
        "evaluation": {
            "evaluator": {
                "api": "anthropic",
                "base_url": "https://api.anthropic.com",
                "model": "evaluator",
                "api_key_env": "KEY",
                "temperature": 0.0,
            }
        },
        "arms": {
            "one": {
                "teacher": "weak",
                "sft_splits": ["sft"],
                "critic": "strong",
                "aif_splits": ["aif"],
            }
        },
    }
    (stages,) = build_graph(validate(StudyConfig, document))
    return stages


# by the code before critics had options; what these stages hold was paid for
NAMED = {
    "teacher": "2d412da28bb6f75a782ebfbf08925534",
    "baseline": "44e42c35d30058ac44929c11e7984518",
    "label": "a5b8fe2b721c3351d4bd191c06ffae4f",
    "evaluate": "b7ad2f34b3c497434fb474bf18a7ba84",
    # by the code before arms had bases, pair sources and losses of their own
    "prompts": "5e747b41715195adc1699eb5a517d8e2",
    "sft": "b818ae25b22b4ed442bd8f0307d952d9",
    "student": "dfbb91db51ae110c89d9407dc621e001",
    "dpo": "2292a15177585b992b0f44a6d82581ba",
    "sample": "5c04403d0b7e5c44fb08182b93f6f292",
}


def test_stages_keep_the_names_that_they_had():
    stages = pinned()
    assert {name: getattr(stages, name).digest for name in NAMED} == NAMED


def test_options_that_critics_got_later_are_in_no_digest_at_their_defaults():
    for name, section in (("label", "critic"), ("evaluate", "evaluator")):
        stage = getattr(pinned(), name)
        older = essence(stage.document)
        for option in ("template", "verdicts", "votes", "constrain"):
            del older[section][option]
        del older[section]["reasoning_effort"]
        assert stage.digest == content_hash(name, older)
    older = essence(pinned().teacher.document)
    assert older["teacher"].pop("reasoning_effort") is None
    assert pinned().teacher.digest == content_hash("complete", older)
    chosen = pinned(template="verdict", verdicts="hard", votes=1)
    assert chosen.evaluate == pinned().evaluate
    assert pinned().label.document["critic"]["votes"] == 1  # whatever is later usual


@pytest.mark.parametrize(
    "how",
    [
        {"template": "rationale"},
        {"verdicts": "soft"},
        {"votes": 2},
        {"constrain": "json_schema"},
        {"reasoning_effort": "low"},
    ],
)
def test_another_way_to_judge_is_another_stage(how):
    old, new = pinned(), pinned(**how)
    assert old.student == new.student
    assert old.label.digest != new.label.digest
    assert old.dpo.digest != new.dpo.digest


def test_seats_of_a_jury_have_no_later_option_in_its_digest():
    seat = {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    jury = {"api": "jury", "critics": [seat, seat | {"model": "n"}]}
    stage = pinned(**jury).label
    older = essence(stage.document)
    for one in older["critic"]["critics"]:
        assert (one.pop("constrain"), one.pop("reasoning_effort")) == ("none", None)
        assert one["votes"] == 1  # juries are no older than votes
    assert stage.digest == content_hash("label", older)
    seat["constrain"] = "json_schema"
    assert pinned(**jury).label.digest != stage.digest


def test_a_template_counts_by_its_content(tmp_path):
    file = tmp_path / "rubric.yaml"
    file.write_text("one")
    first = pinned(template=str(file)).label.digest
    assert pinned(template=str(file)).label.digest == first
    file.write_text("two")
    assert pinned(template=str(file)).label.digest != first


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
