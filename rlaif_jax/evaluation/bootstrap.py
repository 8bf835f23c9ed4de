"""The bootstrap: an interval that supposes no distribution.

Shape letters: R seeds, N prompts.
"""

import numpy as np
from jaxtyping import Float64

from rlaif_jax.evaluation.random_effects import SIDE
from rlaif_jax.records import Record

_BLOCK = 500  # resamples held in memory at once


class Bootstrap(Record):
    """A 95 % interval from resampled prompts and seeds, in percentage points."""

    low: float
    high: float
    resamples: int


def bootstrap(
    d: Float64[np.ndarray, "R N"], *, resamples: int = 2000, random_seed: int = 0
) -> Bootstrap:
    """The percentile interval of the mean over prompts and seeds.

    Prompts are drawn with replacement, the same for all seeds; so are the seeds, one
    fewer than there are, which makes up for the spread that few of them hide (source:
    Owen 2007, Ann. Appl. Stat. 1, the pigeonhole bootstrap; Rao and Wu 1988, J. Am.
    Stat. Assoc. 83, for one fewer). With several seeds it is somewhat too wide: what
    is left over of prompts and seeds counts twice. Equal input gives equal digits.

    Args:
      d: What is averaged, such as one arm's outcomes less another's.
      resamples: How many.
      random_seed: Of the draws.
    """
    random = np.random.default_rng(random_seed)
    blocks = [
        _means(d, random, min(_BLOCK, resamples - start))
        for start in range(0, resamples, _BLOCK)
    ]
    low, high = 100.0 * np.quantile(np.concatenate(blocks), [SIDE, 1.0 - SIDE])
    return Bootstrap(low=float(low), high=float(high), resamples=resamples)


def _means(
    d: Float64[np.ndarray, "R N"], random: np.random.Generator, resamples: int
) -> np.ndarray:
    """The mean of each of some resamples."""
    seeds, prompts = d.shape
    drawn = max(seeds - 1, 1)
    of_seeds = _counts(random, resamples, among=seeds, drawn=drawn) / drawn
    of_prompts = _counts(random, resamples, among=prompts, drawn=prompts) / prompts
    return ((of_seeds @ d) * of_prompts).sum(axis=1)


def _counts(
    random: np.random.Generator, resamples: int, *, among: int, drawn: int
) -> np.ndarray:
    """How often each of some things was drawn, in every resample."""
    places = random.integers(among, size=(resamples, drawn))
    places += among * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * among)
    return counts.reshape(resamples, among).astype(np.float64)
