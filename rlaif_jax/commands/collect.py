"""Gathers what the stages of a study left behind into one result."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlaif_jax.commands.bills import bill_stages
from rlaif_jax.commands.builds import arm_steps, data_builds, split_overlaps
from rlaif_jax.commands.critics import label_audits
from rlaif_jax.commands.evaluator import evaluator_audit
from rlaif_jax.commands.outputs import completions_of, prompts_of
from rlaif_jax.commands.scoring import family_accuracy, means, score
from rlaif_jax.commands.stages import Stages
from rlaif_jax.commands.sweep import best_run
from rlaif_jax.config_endpoints import CriticConfig, JuryConfig, RecordedConfig
from rlaif_jax.evaluation.paired import pooled_win_rate
from rlaif_jax.files import read_records
from rlaif_jax.inspection.runs import read_metrics
from rlaif_jax.provenance import package_versions
from rlaif_jax.records import JudgedCompletion, content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.judges import self_judged
from rlaif_jax.study.published import published
from rlaif_jax.study.results import (
    Arm,
    Curve,
    Direct,
    Judging,
    Sample,
    SeedResult,
    StudyResults,
)
from rlaif_jax.study.settings import differing_settings
from rlaif_jax.study.stage import Stage
from rlaif_jax.typing import Json

_NUM_SAMPLES = 12  # evaluation prompts shown side by side
_MAX_POINTS = 200  # of a curve
_CURVES = (
    "loss",
    "rewards/margins",
    "rewards/accuracies",
    "rewards/chosen",
    "rewards/rejected",
)


def collect_results(
    config: StudyConfig, arms: Sequence[ArmStages], stages: Stages, *, seconds: float
) -> StudyResults:
    """Everything the report is drawn from.

    Raises:
      CorruptDataError: If a stage's files do not fit together.
    """
    return StudyResults(
        title=config.title,
        arms={
            name: Arm(
                description=_describe(config, name),
                prompts=_num_prompts(config, name, arms, stages),
                facets=config.facets_of(name),
                seeds=tuple(
                    _seed_result(config, stages, arm) for arm in arms if arm.arm == name
                ),
            )
            for name in config.arms
        },
        baseline=config.baseline,
        evaluator=_judge_name(config.evaluation.evaluator),
        budget=config.budget,
        headline=config.headline,
        claims=config.claims,
        stages=tuple(bill_stages(config, arms, stages)),
        curves=tuple(
            curve
            for arm in arms
            for stage in (arm.sft, arm.dpo)
            if stage is not None
            for curve in _curves(stages, stage, arm)
        ),
        samples=tuple(_samples(config, stages, arms)),
        evaluator_audit=evaluator_audit(arms, stages),
        audits=label_audits(arms, stages),
        builds=data_builds(arms, stages),
        overlaps=split_overlaps(arms, stages),
        settings=differing_settings(_documents(arms)),
        published=(
            None if config.published is None else published().figures[config.published]
        ),
        judging=_judging(config, stages, arms[0]),
        seconds=seconds,
        command=shlex.join(["rlaif-jax", *sys.argv[1:]]),
        versions=package_versions(),
        notes=config.notes,
        self_judged=self_judged(config),
        direct=tuple(_direct(config, arms, stages)),
    )


def study_index(arms: Sequence[ArmStages], stages: Stages, out: Path) -> Json:
    """Where every stage of every arm is, for notebooks and scripts.

    Folders inside the study's are given relative to it, so that it can be moved.
    """

    def place(stage: Stage) -> str:
        folder = best_run(stages.folder(stage)).resolve()
        root = out.resolve()
        inside = folder.is_relative_to(root)
        return str(folder.relative_to(root) if inside else folder)

    index: dict[str, list[Json]] = {}
    for arm in arms:
        for stage in arm.all():
            row = {"arm": arm.arm, "seed": arm.seed, "title": stage.title}
            row["folder"] = place(stage)
            if stage is arm.dpo and arm.sft is not None and arm.label is not None:
                row["reference"] = place(arm.sft)
                row["preferences"] = place(arm.label)
            kind = "direct" if stage in arm.direct else stage.verb
            index.setdefault(kind, []).append(row)
    return {"stages": index}


def _describe(config: StudyConfig, name: str) -> str:
    arm = config.arms[name]
    base = f"{arm.base}: " if arm.base else ""
    if arm.teacher is None:
        return f"{base}the base model, not trained"
    splits = " and ".join(arm.sft_splits)
    text = f"{base}SFT on {arm.teacher}'s completions of {splits}"
    source = config.label_arm(name)
    if source is None:
        return text
    labels = config.arms[source]
    text += f", then DPO on {labels.critic}'s labels of "
    text += " and ".join(labels.aif_splits)
    if labels.pairs == "student_student":
        text += ", two samples of the student each"
    if source != name:
        text += f", as the arm {source!r} has them"
    if arm.loss is not None:
        text += f", by the loss {arm.loss.name}"
    return text


def _num_prompts(
    config: StudyConfig, name: str, arms: Sequence[ArmStages], stages: Stages
) -> int:
    """How many prompts an arm learned from, in the first seed."""
    first = {arm.arm: arm for arm in arms if arm.seed == arms[0].seed}
    holders = config.holders_of(name)
    return sum(
        holders.get(prompt.split) == holder
        for holder in set(holders.values())
        for prompt in prompts_of(stages, first[holder]).values()
    )


def _judge_name(config: CriticConfig | RecordedConfig | JuryConfig) -> str:
    """The model that judges, or the models of a jury."""
    if isinstance(config, JuryConfig):
        return " and ".join(_judge_name(seat) for seat in config.critics)
    return "recorded" if isinstance(config, RecordedConfig) else config.model


def _seed_result(config: StudyConfig, stages: Stages, arm: ArmStages) -> SeedResult:
    written = completions_of(stages, arm.sample)
    tokens = [c.usage.completion_tokens for c in written.values()]
    cut = [c.finish_reason == "length" for c in written.values()]
    scores: list[Json] = []
    if config.evaluation.scorer_url is not None:
        scores = score(config.evaluation.scorer_url, prompts_of(stages, arm), written)
    return SeedResult(
        seed=arm.seed,
        outcomes=_outcomes(stages, arm.evaluate),
        mean_completion_tokens=sum(tokens) / len(tokens),
        length_rate=sum(cut) / len(cut),
        measures=means(scores) | _judged(stages.result(arm.evaluate) or {}),
        family_accuracy=family_accuracy(scores),
    )


def _outcomes(stages: Stages, stage: Stage) -> dict[str, float | None]:
    """What an evaluation's candidate won on every prompt."""
    path = stages.folder(stage) / "verdicts.jsonl"
    return {one.prompt_id: one.won for one in read_records(path, JudgedCompletion)}


def _direct(
    config: StudyConfig, arms: Sequence[ArmStages], stages: Stages
) -> Iterator[Direct]:
    """Every pair of arms that were judged against each other, over all seeds."""
    places: dict[str, int] = {}
    for a, b in config.evaluation.direct:
        place = places.setdefault(a, 0)
        places[a] += 1
        won = {
            arm.seed: _outcomes(stages, arm.direct[place])
            for arm in arms
            if arm.arm == a
        }
        yield Direct(a=a, b=b, win_rate=pooled_win_rate(won))


def _judged(result: Json) -> dict[str, float]:
    """What an evaluation tells besides its verdicts, as shares."""
    shares: dict[str, float] = {}
    if controlled := result.get("length_controlled"):  # none of older stages
        shares["length_controlled_rate"] = controlled["win_rate"] / 100.0
    evaluators = result.get("evaluators", [])
    names = [told["evaluator"] for told in evaluators]
    for place, (name, told) in enumerate(zip(names, evaluators, strict=True), 1):
        if place > 1:  # the first one's is the win rate
            which = f"{name} ({place})" if names.count(name) > 1 else name
            shares[f"by_{which}_rate"] = told["win_rate"] / 100.0
    if agreed := result.get("agreement", {}).get("share"):
        shares["evaluators_agree_rate"] = agreed["value"]
    return shares


def _documents(arms: Sequence[ArmStages]) -> dict[str, dict[str, Json]]:
    """The configs of every arm's stages, by step; seeds differ in nothing else."""
    first = [arm for arm in arms if arm.seed == arms[0].seed]
    return {
        arm.arm: {
            # a policy's name is the hash of what made it, which is compared itself
            step: {k: v for k, v in stage.document.items() if k != "generator"}
            for step, stage in arm_steps(arm).items()
        }
        for arm in first
    }


def _judging(config: StudyConfig, stages: Stages, arm: ArmStages) -> Judging:
    """What the arms are compared with, and by whom."""
    written = completions_of(stages, arm.baseline)
    evaluator = config.evaluation.evaluator.model_dump(
        mode="json", exclude_defaults=True
    )
    return Judging(
        baseline=content_hash(sorted((key, c.text) for key, c in written.items())),
        evaluator=content_hash(essence(evaluator), config.evaluation.orders),
    )


def _curves(stages: Stages, stage: Stage, arm: ArmStages) -> list[Curve]:
    """The training curves of one of the arm's stages."""
    rows = read_metrics(best_run(stages.folder(stage)))
    rows = rows[:: max(1, len(rows) // _MAX_POINTS)]
    return [
        Curve(
            arm=arm.arm,
            seed=arm.seed,
            stage=stage.verb,
            measure=measure,
            steps=tuple(row["step"] for row in rows),
            values=tuple(row[measure] for row in rows),
        )
        for measure in _CURVES
        if rows and measure in rows[0]
    ]


def _samples(
    config: StudyConfig, stages: Stages, arms: Sequence[ArmStages]
) -> list[Sample]:
    """The first evaluation prompts, with what every arm of the first seed wrote."""
    first = [arm for arm in arms if arm.seed == arms[0].seed]
    prompts = prompts_of(stages, first[0])
    baseline = completions_of(stages, first[0].baseline)
    written = {arm.arm: completions_of(stages, arm.sample) for arm in first}
    chosen = list(written[first[0].arm])[:_NUM_SAMPLES]
    return [
        Sample(
            prompt="\n".join(m.content for m in prompts[prompt_id].messages),
            prompt_id=prompt_id,
            completions={
                f"{config.baseline} (baseline)": baseline[prompt_id].text,
                **{arm: texts[prompt_id].text for arm, texts in written.items()},
            },
        )
        for prompt_id in chosen
    ]
