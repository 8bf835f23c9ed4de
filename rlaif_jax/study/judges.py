"""Who judges twice: models that made labels, and evaluate what was trained on them."""

from rlaif_jax.config_endpoints import (
    CriticConfig,
    JudgeConfig,
    JuryConfig,
    RecordedConfig,
)
from rlaif_jax.study.config import StudyConfig


def self_judged(config: StudyConfig) -> tuple[str, ...]:
    """Models, or files of judgments, that are critic of some arm and evaluator."""
    used = {arm.critic for arm in config.arms.values() if arm.critic is not None}
    critics = {name for critic in used for name in _seats(config.critics[critic])}
    evaluation = config.evaluation
    evaluators = [
        name
        for judge in (evaluation.evaluator, *evaluation.evaluators)
        for name in _seats(judge)
    ]
    return tuple(dict.fromkeys(name for name in evaluators if name in critics))


def self_judged_warning(names: tuple[str, ...]) -> str:
    """What a reader must know of a study whose evaluator was its critic."""
    who = " and ".join(names)
    return (
        f"{who} judged twice: as critic it made the labels that arms were trained on,"
        " and as evaluator it judged the outcome. A critic's own taste then counts as"
        " success: arms with its feedback look better than to another evaluator."
    )


def _seats(config: JudgeConfig) -> list[str]:
    """What judges, by name."""
    seats: list[CriticConfig | RecordedConfig] = (
        list(config.critics) if isinstance(config, JuryConfig) else [config]
    )
    return [
        str(seat.file) if isinstance(seat, RecordedConfig) else seat.model
        for seat in seats
    ]
