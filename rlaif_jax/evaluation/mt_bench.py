"""MT-bench's figures: mean ratings, and what was won of a baseline, with errors."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.intervals import clustered_error
from rlaif_jax.records import Grade, Record

Values = Mapping[tuple[int | str, str, int], float | None]  # id, category, turn


class Mean(Record):
    """A mean over turns of questions."""

    mean: float  # a rating, or percent won
    standard_error: float | None  # clustered by question; None of a single question
    n: int  # turns with a grade
    n_dropped: int  # turns without one


class BenchFigures(Record):
    """One figure of all, of each turn, and of each category."""

    overall: Mean
    turns: dict[str, Mean]
    categories: dict[str, Mean]


def ratings(grades: Sequence[Grade]) -> BenchFigures:
    """The mean rating, from 1 to 10.

    Raises:
      UsageError: If nothing has a grade.
    """
    return _figures({_place(one): one.value for one in grades}, scale=1.0)


def wins(grades: Sequence[Grade]) -> BenchFigures:
    """The percentage that the candidate won, a draw counting one half.

    A turn is won only if both orders say so; anything else is a draw, as in FastChat.
    A turn that lacks a verdict in some order is dropped.

    Raises:
      UsageError: If nothing has a verdict in both orders.
    """
    return _figures(outcomes(grades), scale=100.0)


def outcomes(grades: Sequence[Grade]) -> dict[tuple[int | str, str, int], float | None]:
    """What the candidate won of each turn: 1, 0, 0.5 for a draw, None for nothing."""
    said: dict[tuple[int | str, str, int], list[float | None]] = {}
    for one in grades:
        said.setdefault(_place(one), []).append(one.value)
    return {place: _joint(values) for place, values in said.items()}


def disagreement(grades: Sequence[Grade]) -> float | None:
    """The share of turns on which the orders differ; None without both of any."""
    pairs: dict[tuple[int | str, str, int], list[float]] = {}
    for one in grades:
        if one.value is not None:
            pairs.setdefault(_place(one), []).append(one.value)
    both = [values for values in pairs.values() if len(values) == 2]
    return sum(a != b for a, b in both) / len(both) if both else None


def _place(grade: Grade) -> tuple[int | str, str, int]:
    return grade.question_id, grade.category, grade.turn


def _joint(values: Sequence[float | None]) -> float | None:
    """What both orders together say."""
    if None in values or len(values) != 2:
        return None
    return values[0] if values[0] == values[1] else 0.5


def _figures(values: Values, *, scale: float) -> BenchFigures:
    """The means of all, by turn and by category, in their order of appearance."""

    def by(name: Callable[[tuple[int | str, str, int]], str]) -> dict[str, Mean]:
        groups = dict.fromkeys(name(place) for place in values)
        found = {
            group: _mean({p: v for p, v in values.items() if name(p) == group}, scale)
            for group in groups
        }
        return {group: mean for group, mean in found.items() if mean is not None}

    overall = _mean(values, scale)
    if overall is None:
        raise UsageError(
            f"none of {len(values)} turns has a usable grade: look into grades.jsonl"
        )
    return BenchFigures(
        overall=overall,
        turns=by(lambda place: str(place[2])),
        categories=by(lambda place: place[1]),
    )


def _mean(values: Values, scale: float) -> Mean | None:
    """The mean of those that there are; None of nothing."""
    known = {place: value for place, value in values.items() if value is not None}
    if not known:
        return None
    x = scale * np.array(list(known.values()), np.float64)
    names = {name: place for place, name in enumerate({p[0] for p in known})}
    clusters = np.array([names[place[0]] for place in known], np.int64)
    error = clustered_error((x - x.mean()) / x.size, clusters)
    return Mean(
        mean=float(x.mean()),
        standard_error=error if len(names) > 1 and math.isfinite(error) else None,
        n=x.size,
        n_dropped=len(values) - x.size,
    )
