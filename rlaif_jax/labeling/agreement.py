"""How far two judges of the same comparisons agree.

Further shape letter: U usable verdicts, in the order of `USABLE`.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from rlaif_jax.labeling.intervals import Measure, linearized, share
from rlaif_jax.records import Record, Verdict

USABLE = (Verdict.FIRST, Verdict.SECOND, Verdict.TIE)


class Agreement(Record):
    """Verdicts of two judges, side by side."""

    n: int  # comparisons with a usable verdict of both
    counts: dict[str, dict[str, int]]  # the critic's verdict, then the other's
    share: Measure | None  # of equal verdicts
    kappa: Measure | None  # Cohen's; None if neither judge ever differs


def agreement(
    critic: Sequence[Verdict | None],
    other: Sequence[Verdict | None],
    prompts: Int[np.ndarray, " N"],
) -> Agreement:
    """Agreement of two judges about first, second or tie.

    Args:
      critic: One judge's verdict of each comparison; None or failed does not count.
      other: The other's.
      prompts: A number for each comparison's prompt.
    """
    both = [
        (USABLE.index(a), USABLE.index(b), prompt)
        for a, b, prompt in zip(critic, other, prompts, strict=True)
        if a in USABLE and b in USABLE
    ]
    table = np.array(both, np.int64).reshape(-1, 3)
    a, b, clusters = table.T
    counts = np.zeros((len(USABLE), len(USABLE)), np.int64)
    np.add.at(counts, (a, b), 1)
    return Agreement(
        n=len(both),
        counts={
            mine.value: {
                yours.value: int(counts[i, j]) for j, yours in enumerate(USABLE)
            }
            for i, mine in enumerate(USABLE)
        },
        share=share((a == b).astype(np.float64), clusters),
        kappa=_kappa(a, b, counts.astype(np.float64), clusters),
    )


def _kappa(
    a: Int[np.ndarray, " N"],
    b: Int[np.ndarray, " N"],
    counts: Float[np.ndarray, "U U"],
    prompts: Int[np.ndarray, " N"],
) -> Measure | None:
    """Cohen's kappa, agreement beyond chance.

    `kappa = (o - e) / (1 - e)` with `o` the share of equal verdicts and `e` that of
    two judges who throw dice with these judges' frequencies (Cohen 1960, Educ.
    Psychol. Meas. 20). Its influence for verdicts `i`, `j` is

        ([i = j] - o - (1 - kappa) (B[i] + A[j] - 2e)) / (1 - e)

    with `A`, `B` the judges' frequencies: with one comparison a prompt the error is
    that of Fleiss, Cohen and Everitt (1969, Psychol. Bull. 72, Eq. 13), times
    sqrt(C / (C - 1)).
    """
    if not a.size:
        return None
    frequencies = counts / a.size
    mine, yours = frequencies.sum(axis=1), frequencies.sum(axis=0)
    observed, expected = float(np.trace(frequencies)), float(mine @ yours)
    if expected > 1.0 - 1e-12:  # both always say the same one thing
        return None
    kappa = (observed - expected) / (1.0 - expected)
    moved = (a == b) - observed
    moved = moved - (1.0 - kappa) * (yours[a] + mine[b] - 2.0 * expected)
    return linearized(kappa, moved / (1.0 - expected) / a.size, prompts)
