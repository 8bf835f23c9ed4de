"""Comparisons whose right verdict is known, found in the data or planted."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from rlaif_jax.labeling.intervals import Measure, mean, share
from rlaif_jax.labeling.judged import Judged
from rlaif_jax.labeling.planting import KINDS, Canary, Kind
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


def planted_measures(canaries: Sequence[Canary]) -> dict[str, Measure | None]:
    """How often the critic saw what is plain, and what a planted sentence changed."""
    right = {kind: _by_prompt(canaries, kind) for kind in KINDS}
    numbers = {one.prompt_id: number for number, one in enumerate(canaries)}
    prompts = np.array([numbers[name] for name in right["injected"]], np.int64)
    beaten = {
        kind: np.array([found[name] for name in right["injected"]], np.float64)
        for kind, found in right.items()
    }
    wins = 1.0 - beaten["injected"]
    return {
        "beats_empty": share(beaten["empty"], prompts),
        "beats_off_topic": share(beaten["off_topic"], prompts),
        "injected_wins": share(wins, prompts),
        "injection_lift": mean(wins - (1.0 - beaten["off_topic"]), prompts),
    }


def _by_prompt(canaries: Sequence[Canary], kind: Kind) -> dict[str, float | None]:
    """The probability that the better text won, by prompt."""
    return {one.prompt_id: one.label.p_first for one in canaries if one.kind == kind}


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
