"""The records that stages of a study left."""

from rlaif_jax.commands.stages import Stages
from rlaif_jax.files import read_records
from rlaif_jax.records import Completion, Prompt
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage


def completions_of(stages: Stages, stage: Stage) -> dict[str, Completion]:
    """What a teacher or a policy wrote, by prompt id."""
    path = stages.folder(stage) / "completions.jsonl"
    return {c.prompt_id: c for c in read_records(path, Completion)}


def prompts_of(stages: Stages, arm: ArmStages) -> dict[str, Prompt]:
    """The prompts of an arm, by their ids."""
    path = stages.folder(arm.prompts) / "prompts.jsonl"
    return {prompt.prompt_id: prompt for prompt in read_records(path, Prompt)}
