"""What a critic's verdicts owe to the order in which it was shown completions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from rlaif_jax.labeling.intervals import Measure, linearized, share
from rlaif_jax.labeling.judged import Call, Judged
from rlaif_jax.records import Verdict

NUM_BLOCKS = 10

_DECIDED = (Verdict.FIRST, Verdict.SECOND)


def order_measures(
    judged: Sequence[Judged], prompts: Int[np.ndarray, " N"]
) -> dict[str, Measure | None]:
    """Consistency, flips, first position and its drift; None where not known.

    Args:
      judged: The comparisons.
      prompts: A number for each one's prompt.
    """
    consistent = np.array([_is_consistent(one.calls) for one in judged], np.float64)
    flips = np.array([_flip(one.calls) for one in judged], np.float64)
    chose, of_call, places = _calls(judged, prompts)
    return {
        "order_consistency": share(consistent, prompts),
        "flips_to_first": share(flips, prompts),
        "p_first_shown": share(chose, of_call),
        "p_first_drift": _drift(chose, places, of_call),
    }


def first_shown_blocks(
    judged: Sequence[Judged], prompts: Int[np.ndarray, " N"]
) -> tuple[Measure | None, ...]:
    """How often the one shown first was chosen, in tenths of the run."""
    chose, of_call, places = _calls(judged, prompts)
    blocks = np.minimum((places * NUM_BLOCKS).astype(np.int64), NUM_BLOCKS - 1)
    return tuple(
        share(np.where(blocks == block, chose, np.nan), of_call)
        for block in range(NUM_BLOCKS)
    )


def is_flip(calls: Sequence[Call]) -> bool:
    """Whether a verdict changed when the completions changed places."""
    return _is_consistent(calls) == 0.0


def _calls(
    judged: Sequence[Judged], prompts: Int[np.ndarray, " N"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every call: whether it chose the one shown first, its prompt, its place."""
    rows = [
        (_chose_first_shown(call), prompt, one.place)
        for one, prompt in zip(judged, prompts, strict=True)
        for call in one.calls
    ]
    chose, of_call, places = np.array(rows, np.float64).reshape(-1, 3).T
    return chose, of_call.astype(np.int64), places


def _chose_first_shown(call: Call) -> float:
    """1 or 0; NaN of a tie, of no verdict, and where the order is not known."""
    if call.swapped is None or call.verdict not in _DECIDED:
        return float("nan")
    return float((call.verdict is Verdict.FIRST) != call.swapped)


def _is_consistent(calls: Sequence[Call]) -> float:
    """1 or 0; NaN unless both orders were asked and gave a verdict."""
    orders = {call.swapped for call in calls}
    verdicts = {call.verdict for call in calls}
    if orders != {False, True} or Verdict.FAILED in verdicts:
        return float("nan")
    return float(len(verdicts) == 1)


def _flip(calls: Sequence[Call]) -> float:
    """1 if a flip always chose the one shown first, 0 the one shown second; else NaN.

    A critic that says tie in one order alone leans neither way.
    """
    chosen = {_chose_first_shown(call) for call in calls}
    if not is_flip(calls) or chosen not in ({0.0}, {1.0}):
        return float("nan")
    return chosen.pop()


def _drift(
    chose: Float[np.ndarray, " N"],
    places: Float[np.ndarray, " N"],
    prompts: Int[np.ndarray, " N"],
) -> Measure | None:
    """The change from the run's first to its last comparison, by least squares."""
    counted = ~np.isnan(chose)
    y, x = chose[counted], places[counted]
    if not y.size:
        return None
    x = x - x.mean()
    spread = float((x**2).sum())
    if spread == 0.0:
        return None
    slope = float((x * y).sum()) / spread
    residuals = y - y.mean() - slope * x
    return linearized(slope, x * residuals / spread, prompts[counted])
