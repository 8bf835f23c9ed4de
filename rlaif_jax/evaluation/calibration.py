"""Whether a reward model is as often right as it is sure."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from rlaif_jax.errors import UsageError
from rlaif_jax.records import Record


class CalibrationBin(Record):
    """The pairs of which a model is about equally sure."""

    low: float  # of the confidence, a probability
    high: float
    n: int
    confidence: float  # mean over the pairs; 0 if there are none
    accuracy: float  # share of them on which it is right


class Calibration(Record):
    """How well margins predict preferences."""

    pairs: int
    ties: int  # equal rewards, wrong in `accuracy`
    accuracy: float  # share of pairs whose chosen side has the larger reward
    loss: float  # mean of -log sigmoid(margin), in nats
    ece: float  # expected calibration error, in [0, 1]
    bins: tuple[CalibrationBin, ...]


def calibration(margins: Sequence[float], *, num_bins: int = 10) -> Calibration:
    """Accuracy, loss and expected calibration error of `sigmoid(margin)`.

    A model of margin m prefers one side with confidence max(sigmoid(m), sigmoid(-m)),
    which lies in [1/2, 1]; that range is cut into bins of equal width, and

        ECE = sum over bins of (pairs in it / pairs) * |accuracy - confidence|

    Eq. 3 of Guo et al., "On Calibration of Modern Neural Networks"
    (arXiv:1706.04599). A tie is a coin's throw: half right, where sureness counts.

    Args:
      margins: Reward of the chosen less that of the rejected side, in nats.
      num_bins: Bins of [1/2, 1].

    Raises:
      UsageError: If there are no pairs.
    """
    if not len(margins):
        raise UsageError("no held-out pairs: hold out more shards")
    m = np.asarray(margins, np.float64)
    confidence = 1.0 / (1.0 + np.exp(-np.abs(m)))
    right = (m > 0) + 0.5 * (m == 0)
    place = np.minimum(((2 * confidence - 1) * num_bins).astype(np.int64), num_bins - 1)
    bins = tuple(_bin(b, num_bins, confidence, right, place) for b in range(num_bins))
    return Calibration(
        pairs=len(m),
        ties=int((m == 0).sum()),
        accuracy=float((m > 0).mean()),
        loss=float(np.logaddexp(0.0, -m).mean()),
        ece=sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / len(m),
        bins=bins,
    )


def _bin(
    number: int,
    num_bins: int,
    confidence: Float[np.ndarray, " N"],
    right: Float[np.ndarray, " N"],
    place: Int64[np.ndarray, " N"],
) -> CalibrationBin:
    """The pairs at one place."""
    here = place == number
    n = int(here.sum())
    return CalibrationBin(
        low=0.5 + 0.5 * number / num_bins,
        high=0.5 + 0.5 * (number + 1) / num_bins,
        n=n,
        confidence=float(confidence[here].mean()) if n else 0.0,
        accuracy=float(right[here].mean()) if n else 0.0,
    )
