"""The win rate of a candidate against a baseline, as AlpacaEval counts it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.annotations import (
    is_preference,
    outcome,
    read_preferences,
)
from rlaif_jax.records import Record, Verdict
from rlaif_jax.typing import Number

# What the candidate, always shown as `second`, wins of one comparison.
OUTCOMES: dict[Verdict, float | None] = {
    Verdict.FIRST: 0.0,
    Verdict.SECOND: 1.0,
    Verdict.TIE: 0.5,
    Verdict.FAILED: None,
}


class WinRate(Record):
    """How often the candidate beat the baseline."""

    win_rate: float  # percent; a draw counts one half
    standard_error: float  # percent; of the prompts drawn, nothing else
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int  # usable verdicts
    n_dropped: int  # comparisons without a usable verdict


def win_rate(preferences: Sequence[Number | None]) -> WinRate:
    """The win rate of the second output of each comparison.

    The mean of `preference - 1`; its standard error is the sample deviation (ddof
    = 1) over the square root of the number of usable verdicts; source: AlpacaEval
    (github.com/tatsu-lab/alpaca_eval).

    Args:
      preferences: 1 if the first output is better, 2 if the second, 0 or 1.5 for a
        draw, a value in between for an uncertain verdict; None is dropped and
        counted.

    Raises:
      UsageError: If a value is none of these, or fewer than two are usable.
    """
    for row, preference in enumerate(preferences):
        if preference is not None and not is_preference(preference):
            raise UsageError(
                f"preference {row} is {preference!r}: it must be 0, 1 to 2, or None"
            )
    return from_outcomes(outcome(preference) for preference in preferences)


def from_outcomes(outcomes: Iterable[Number | None]) -> WinRate:
    """The win rate of what the candidate won of each comparison, from 0 to 1.

    Raises:
      UsageError: If fewer than two outcomes are usable.
    """
    values = list(outcomes)
    usable = np.array([value for value in values if value is not None], np.float64)
    if usable.size < 2:
        raise UsageError(
            f"{usable.size} of {len(values)} comparisons have a usable verdict: a win "
            "rate needs at least 2; look for failures in the ledger of the evaluator"
        )
    return WinRate(
        win_rate=100.0 * float(usable.mean()),
        standard_error=100.0 * float(usable.std(ddof=1) / np.sqrt(usable.size)),
        n_wins=int((usable > 0.5).sum()),
        n_wins_base=int((usable < 0.5).sum()),
        n_draws=int((usable == 0.5).sum()),
        n_total=usable.size,
        n_dropped=len(values) - usable.size,
    )


def from_annotations(path: Path) -> WinRate:
    """The win rate that an AlpacaEval annotation file (.json or .json.gz) records.

    Raises:
      UsageError: If there is no such file, or fewer than two usable verdicts in it.
      CorruptDataError: If a row is not an annotation; the message names the row.
    """
    return win_rate(read_preferences(path))
