"""What an evaluation's verdicts owe to order and length rather than to the texts."""

from collections.abc import Sequence

from rlaif_jax.labeling.audit import Line, audit
from rlaif_jax.labeling.intervals import Measure
from rlaif_jax.labeling.judged import Judged
from rlaif_jax.labeling.meanings import MEANINGS, written
from rlaif_jax.records import Record

NAMES = (  # of `labeling.meanings.MEANINGS`, in the order in which they are shown
    "order_consistency",
    "flips_to_first",
    "p_first_shown",
    "p_longer",
    "length_slope",
    "identical_tied",
    "text_beats_empty",
)


class EvaluatorAudit(Record):
    """The evaluator's own biases, over all its verdicts in a study."""

    evaluators: tuple[str, ...]
    comparisons: int  # of all arms and seeds
    measures: dict[str, Measure]  # by name; errors are clustered by prompt
    absent: dict[str, str]  # the other names, and why


def audit_evaluator(judged: Sequence[Judged]) -> EvaluatorAudit:
    """The audit of an evaluator, whose candidate is always stored as `second`.

    Raises:
      UsageError: If nothing was judged.
    """
    found = audit(judged, comparisons=len(judged))
    return EvaluatorAudit(
        evaluators=found.critics,
        comparisons=found.labels,
        measures={n: found.measures[n] for n in NAMES if n in found.measures},
        absent={n: found.absent[n] for n in NAMES if n in found.absent},
    )


def evaluator_lines(found: EvaluatorAudit) -> list[tuple[Line, str, str]]:
    """Every figure in its order, with value and interval as people read them."""
    lines = [
        Line(MEANINGS[n].title, MEANINGS[n].unit, MEANINGS[n].text, found.measures[n])
        for n in NAMES
        if n in found.measures
    ]
    return [
        (
            line,
            written(line.unit, line.measure.value),
            f"{written(line.unit, line.measure.low)} to"
            f" {written(line.unit, line.measure.high)}",
        )
        for line in lines
    ]
