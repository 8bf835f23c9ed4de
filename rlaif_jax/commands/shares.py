"""What one arm needs of a teacher that may have written for several."""

from collections.abc import Callable, Iterable

from rlaif_jax.records import Prompt
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage


def needed_prompts(
    config: StudyConfig,
    arm: ArmStages,
    teacher: Stage,
    read: Callable[[Stage], Iterable[Prompt]],
) -> dict[str, Prompt]:
    """The prompts whose texts make an arm, by their ids.

    Of its own teacher, the arm's own splits; of a teacher it borrows labels of, those
    of the arm that they are of. Held-out texts choose checkpoints, so they are needed.

    Args:
      config: Of the study.
      arm: Whose needs.
      teacher: The stage that wrote; its baseline makes no arm.
      read: The prompts of a stage of `prompts`.
    """
    wanted: list[tuple[str, Stage]] = []
    if teacher == arm.teacher:
        wanted.append((arm.arm, arm.prompts))
    source = config.label_arm(arm.arm)
    if source is not None and teacher in arm.borrowed:
        wanted += [(source, one) for one in arm.borrowed if one.verb == "prompts"]
    return {
        prompt.prompt_id: prompt
        for name, prompts in wanted
        for prompt in read(prompts)
        if prompt.split in {*config.arms[name].written_splits, *held_out(config)}
    }


def held_out(config: StudyConfig) -> tuple[str, ...]:
    """Splits that choose the checkpoint of every SFT."""
    return config.sft.validation.splits if config.sft.validation else ()
