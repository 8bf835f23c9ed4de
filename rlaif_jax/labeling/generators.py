"""What each generator won, by this critic and by another judge."""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from rlaif_jax.labeling.intervals import Measure, mean, share
from rlaif_jax.labeling.judged import Judged
from rlaif_jax.labeling.length_bias import equal_length_share
from rlaif_jax.records import Record


class GeneratorFigures(Record):
    """One generator, in its comparisons with all others."""

    name: str
    is_own: bool  # of the critic's own family
    won: Measure | None  # from 0 to 1, a draw one half
    equal_length: Measure | None  # what it would win at the others' length
    liked_more: Measure | None  # won by the critic less won by the other judge
    n_wins: int
    n_losses: int
    n_draws: int
    n_dropped: int  # comparisons without a usable verdict
    mean_characters: float


def generator_figures(
    judged: Sequence[Judged],
    prompts: Int[np.ndarray, " N"],
    *,
    other: Float[np.ndarray, " N"],
    own: Collection[str],
) -> tuple[GeneratorFigures, ...]:
    """Every generator, the one that won most first.

    Args:
      judged: The comparisons; those of a generator with itself do not count.
      prompts: A number for each one's prompt.
      other: The other judge's probability that the first is better, or NaN.
      own: Generators of the critic's own family.
    """
    names = sorted({name for one in judged for name in _writers(one)})
    figures = [
        _figures(name, judged, prompts, other, is_own=name in own) for name in names
    ]
    return tuple(sorted(figures, key=lambda one: -one.won.value if one.won else 1.0))


def self_preference(
    judged: Sequence[Judged],
    prompts: Int[np.ndarray, " N"],
    *,
    other: Float[np.ndarray, " N"],
    own: Collection[str],
) -> Measure | None:
    """What the critic's own family wins with it beyond what it wins with the other.

    A family that wins often may simply be good: only another judge of the same
    comparisons tells. None without one.
    """
    is_first = np.array([one.comparison.first.generator in own for one in judged], bool)
    is_second = np.array(
        [one.comparison.second.generator in own for one in judged], bool
    )
    return _liked_more(_p_first(judged), other, is_first, is_second, prompts)


def _figures(
    name: str,
    judged: Sequence[Judged],
    prompts: Int[np.ndarray, " N"],
    other: Float[np.ndarray, " N"],
    *,
    is_own: bool,
) -> GeneratorFigures:
    """One generator's figures."""
    is_first = np.array([one.comparison.first.generator == name for one in judged])
    is_second = np.array([one.comparison.second.generator == name for one in judged])
    takes_part = is_first != is_second
    p_first = _p_first(judged)
    won = _won(p_first, is_first, is_second)
    lengths = np.array(
        [
            (len(one.comparison.first.text), len(one.comparison.second.text))
            for one in judged
        ],
        np.float64,
    )
    longer = np.where(is_first, 1.0, -1.0) * (lengths[:, 0] - lengths[:, 1])
    written = np.concatenate([lengths[is_first, 0], lengths[is_second, 1]])
    return GeneratorFigures(
        name=name,
        is_own=is_own,
        won=share(won, prompts),
        equal_length=equal_length_share(won, longer, prompts),
        liked_more=_liked_more(p_first, other, is_first, is_second, prompts),
        n_wins=int((won > 0.5).sum()),
        n_losses=int((won < 0.5).sum()),
        n_draws=int((won == 0.5).sum()),
        n_dropped=int((takes_part & np.isnan(p_first)).sum()),
        mean_characters=float(written.mean()),
    )


def _liked_more(
    p_first: Float[np.ndarray, " N"],
    other: Float[np.ndarray, " N"],
    is_first: Bool[np.ndarray, " N"],
    is_second: Bool[np.ndarray, " N"],
    prompts: Int[np.ndarray, " N"],
) -> Measure | None:
    """The mean difference of what was won with two judges."""
    here = _won(p_first, is_first, is_second)
    return mean(here - _won(other, is_first, is_second), prompts)


def _won(
    p_first: Float[np.ndarray, " N"],
    is_first: Bool[np.ndarray, " N"],
    is_second: Bool[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    """What the side won; NaN where it is on neither side, or on both."""
    won = np.where(is_first, p_first, 1.0 - p_first)
    return np.where(is_first != is_second, won, np.nan)


def _p_first(judged: Sequence[Judged]) -> Float[np.ndarray, " N"]:
    return np.array([one.label.p_first for one in judged], np.float64)  # None: NaN


def _writers(one: Judged) -> tuple[str, str]:
    return one.comparison.first.generator, one.comparison.second.generator
