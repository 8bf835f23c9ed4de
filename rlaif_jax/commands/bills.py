"""What each stage of a study cost, and which arms need it."""

import os
from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.commands.inputs import read_prompts
from rlaif_jax.commands.operations import trained_flops
from rlaif_jax.commands.outputs import completions_of
from rlaif_jax.commands.piloting import pilot_bill
from rlaif_jax.commands.shares import needed_prompts
from rlaif_jax.commands.stages import Stages
from rlaif_jax.records import Prompt
from rlaif_jax.study import bill
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage

_ROLES: dict[str, bill.Role] = {  # whom a verb pays
    "complete": "teacher",
    "label": "critic",
    "evaluate": "evaluator",
}
_USES: dict[str, bill.DeviceUse] = {  # what a verb needs devices for
    "sft": "training",
    "dpo": "training",
    "sample": "sampling",
}


def bill_stages(
    config: StudyConfig, arms: Sequence[ArmStages], stages: Stages
) -> list[bill.Stage]:
    """Every stage once, with the arms that use it, and a pilot that none needed."""
    used: dict[str, tuple[Stage, list[str]]] = {}
    for arm in arms:
        for stage in arm.all():
            names = used.setdefault(stage.digest, (stage, []))[1]
            if arm.arm not in names:
                names.append(arm.arm)
    baselines = {arm.baseline.digest for arm in arms}
    found = [
        _bill_stage(stage, names, stages, is_baseline=digest in baselines)
        for digest, (stage, names) in used.items()
    ]
    return [
        one.model_copy(
            update={"shares": _shares(config, arms, used[digest][0], stages)}
        )
        if one.kind == "complete"
        else one
        for digest, one in zip(used, found, strict=True)
    ] + pilot_bill(config, arms, stages)


def _shares(
    config: StudyConfig, arms: Sequence[ArmStages], stage: Stage, stages: Stages
) -> dict[str, bill.Spend]:
    """What each arm needs of a teacher's texts, if that is not all of them."""
    texts = completions_of(stages, stage)

    def read(prompts: Stage) -> list[Prompt]:
        return read_prompts(stages.folder(prompts) / "prompts.jsonl", ())

    shares: dict[str, bill.Spend] = {}
    for arm in arms:
        if stage not in (arm.teacher, *arm.borrowed):
            continue
        needed = needed_prompts(config, arm, stage, read)
        wanted = [texts[key] for key in needed if key in texts]
        if len(wanted) < len(texts):
            shares[arm.arm] = bill.Spend(
                calls=len(wanted),
                prompt_tokens=sum(one.usage.prompt_tokens for one in wanted),
                completion_tokens=sum(one.usage.completion_tokens for one in wanted),
                cost_usd=sum((one.cost_usd for one in wanted), 0.0),
            )
    return shares


def _bill_stage(
    stage: Stage, arms: list[str], stages: Stages, *, is_baseline: bool
) -> bill.Stage:
    """One stage; a baseline is written to evaluate, and makes no policy."""
    result = stages.result(stage) or {}
    spend: dict[bill.Role, bill.Spend] = {}
    if stage.verb in _ROLES:
        fields = bill.Spend.model_fields
        amounts = {name: result[name] for name in fields}
        role = "evaluator" if is_baseline else _ROLES[stage.verb]
        spend[role] = bill.Spend(**amounts)
    device: dict[bill.DeviceUse, float] = {}
    if stage.verb in _USES:
        device[_USES[stage.verb]] = float(result["device_seconds"])
    return bill.Stage(
        stage_id=stage.folder,
        kind=stage.verb,
        arms=tuple(arms),
        title=stage.title,
        folder=_typed(stages.folder(stage)),
        spend=spend,
        device_s=device,
        flops=trained_flops(stage, stages),
    )


def _typed(folder: Path) -> str:
    """A folder as it is typed, from where the study was started."""
    home = Path.home()
    if folder.is_relative_to(home) and not folder.is_relative_to(Path.cwd()):
        return f"~/{folder.relative_to(home)}"
    return os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
