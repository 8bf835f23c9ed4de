"""Comparisons whose right verdict is known, found in the data."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from rlaif_jax.labeling.intervals import Measure, share
from rlaif_jax.labeling.judged import Judged
from rlaif_jax.records import Verdict

_NOT_ASKED = "skipped_identical"


def is_identical(one: Judged) -> bool:
    """Whether both texts are the same: a tie."""
    return one.comparison.first.text == one.comparison.second.text


def is_half_empty(one: Judged) -> bool:
    """Whether one text is blank and the other is not: the other is better."""
    return _is_first_blank(one) != (not one.comparison.second.text.strip())


def canary_measures(
    judged: Sequence[Judged], prompts: Int[np.ndarray, " N"]
) -> dict[str, Measure | None]:
    """How often the critic saw what is plain; None where there is nothing to see.

    `label` calls equal texts a tie by itself, and leaves blank ones out: only what a
    critic was asked counts.
    """
    tied = [_tied(one) for one in judged]
    found = [_found(one) for one in judged]
    return {
        "identical_tied": share(np.array(tied, np.float64), prompts),
        "text_beats_empty": share(np.array(found, np.float64), prompts),
    }


def _tied(one: Judged) -> float | None:
    label = one.label
    is_asked = label.state != _NOT_ASKED and label.verdict is not Verdict.FAILED
    return (
        float(label.verdict is Verdict.TIE) if is_asked and is_identical(one) else None
    )


def _found(one: Judged) -> float | None:
    p_first = one.label.p_first
    if p_first is None or not is_half_empty(one):
        return None
    return 1.0 - p_first if _is_first_blank(one) else p_first


def _is_first_blank(one: Judged) -> bool:
    return not one.comparison.first.text.strip()
