"""Holm's correction: several tests, one chance of a false finding."""

from collections.abc import Sequence

from rlaif_jax.typing import Number


def holm(p_values: Sequence[Number]) -> list[float]:
    """The p-values, each corrected for all of them, in the same order.

    With `p(1) <= ... <= p(m)` the i-th is `max over j <= i of (m - j + 1) p(j)`, at
    most 1 (Holm 1979, Scand. J. Stat. 6). Where those at or below a level count as
    findings, the chance that any of them is false is at most that level, however the
    tests depend on each other.
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for passed, place in enumerate(
        sorted(range(len(p_values)), key=p_values.__getitem__)
    ):
        largest = max(largest, (len(p_values) - passed) * p_values[place])
        corrected[place] = min(1.0, largest)
    return corrected
