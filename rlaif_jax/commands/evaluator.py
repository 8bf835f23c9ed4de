"""Reads a study's verdicts again, to audit the evaluator that gave them."""

from collections.abc import Sequence

from rlaif_jax.commands.evaluate import compared
from rlaif_jax.commands.stages import Stages
from rlaif_jax.config import EvaluateConfig
from rlaif_jax.config_endpoints import asked_critics
from rlaif_jax.config_file import validate
from rlaif_jax.evaluation.evaluator_audit import EvaluatorAudit, audit_evaluator
from rlaif_jax.files import read_records
from rlaif_jax.labeling.calls import read_calls
from rlaif_jax.labeling.judged import Judged, judged_labels
from rlaif_jax.records import JudgedCompletion
from rlaif_jax.study.graph import ArmStages
from rlaif_jax.study.stage import Stage, resolve


def evaluator_audit(arms: Sequence[ArmStages], stages: Stages) -> EvaluatorAudit:
    """The audit of all verdicts on all arms, each evaluation once.

    Raises:
      CommandError: If a stage's files are missing or damaged.
    """
    folders = {s.digest: stages.folder(s) for arm in arms for s in arm.all()}
    evaluations = {arm.evaluate.digest: arm.evaluate for arm in arms}.values()
    judged: list[Judged] = []
    for stage in evaluations:
        document = resolve(stage.document, folders)
        judged += _judged(stage, stages, validate(EvaluateConfig, document))
    return audit_evaluator(judged)


def _judged(stage: Stage, stages: Stages, config: EvaluateConfig) -> list[Judged]:
    """One evaluation's comparisons, verdicts and calls."""
    assert config.evaluator is not None  # a study records none
    folder = stages.folder(stage)
    labels = [
        one.label for one in read_records(folder / "verdicts.jsonl", JudgedCompletion)
    ]
    return judged_labels(
        compared(config)[1],
        labels,
        calls=read_calls(folder / "ledger.jsonl"),
        orders=config.orders if asked_critics(config.evaluator) else None,
    )
