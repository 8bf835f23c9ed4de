"""What each stage of a study cost, and which arms need it."""

import os
from collections.abc import Sequence
from pathlib import Path

from rlaif_jax.commands.operations import trained_flops
from rlaif_jax.commands.outputs import completions_of, prompts_of
from rlaif_jax.commands.piloting import pilot_bill
from rlaif_jax.commands.stages import Stages
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
    found = [_bill_stage(stage, names, stages) for stage, names in used.values()]
    return [
        one.model_copy(
            update={"shares": _shares(config, arms, used[digest][0], stages)}
        )
        if one.kind == "complete"
        else one
        for digest, one in zip(used, found, strict=True)
    ] + pilot_bill(stages)


def _shares(
    config: StudyConfig, arms: Sequence[ArmStages], stage: Stage, stages: Stages
) -> dict[str, bill.Spend]:
    """What each arm needs of a teacher's texts, if that is not all of them."""
    texts = completions_of(stages, stage)
    held_out = config.sft.validation.splits if config.sft.validation else ()
    shares: dict[str, bill.Spend] = {}
    for arm in arms:
        writes = [arm.teacher, *arm.borrowed]
        if stage not in writes:
            continue
        source = config.label_arm(arm.arm) or arm.arm
        splits = {*config.arms[arm.arm].written_splits, *held_out}
        splits |= {*config.arms[source].written_splits}
        wanted = [
            texts[key]
            for key, prompt in prompts_of(stages, arm).items()
            if prompt.split in splits and key in texts
        ]
        if len(wanted) < len(texts):
            shares[arm.arm] = bill.Spend(
                calls=len(wanted),
                prompt_tokens=sum(one.usage.prompt_tokens for one in wanted),
                completion_tokens=sum(one.usage.completion_tokens for one in wanted),
                cost_usd=sum((one.cost_usd for one in wanted), 0.0),
            )
    return shares


def _bill_stage(stage: Stage, arms: list[str], stages: Stages) -> bill.Stage:
    result = stages.result(stage) or {}
    spend: dict[bill.Role, bill.Spend] = {}
    if stage.verb in _ROLES:
        fields = bill.Spend.model_fields
        amounts = {name: result[name] for name in fields}
        spend[_ROLES[stage.verb]] = bill.Spend(**amounts)
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
        flops=trained_flops(stage, stages) if stage.verb in ("sft", "dpo") else 0.0,
    )


def _typed(folder: Path) -> str:
    """A folder as it is typed, from where the study was started."""
    home = Path.home()
    if folder.is_relative_to(home) and not folder.is_relative_to(Path.cwd()):
        return f"~/{folder.relative_to(home)}"
    return os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
