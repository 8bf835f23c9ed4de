"""Several completions of one prompt: the best of them against the worst."""

from collections.abc import Sequence

from rlaif_jax.records import Comparison, Label, Verdict

_POINTS = {Verdict.FIRST: 1.0, Verdict.TIE: 0.5, Verdict.SECOND: 0.0}  # of the first


def best_against_worst(
    judged: Sequence[tuple[Comparison, Label]],
) -> list[tuple[Comparison, Label]]:
    """Of all comparisons of a prompt's candidates, the one that tells most.

    A candidate's score is the share of its comparisons that it won, a tie counting one
    half and a failure nothing on either side. The best must have won against the worst
    when the two were compared: where verdicts go round in a circle, nothing is told.

    Args:
      judged: Every pair of the candidates, with its label.

    Returns:
      One comparison, the first in order if several candidates are equally good or
      equally bad; none if all are equal, or no best one beat a worst one.
    """
    points: dict[str, list[float]] = {}
    for comparison, label in judged:
        won = _POINTS.get(label.verdict)
        if won is not None:
            points.setdefault(comparison.first.completion_id, []).append(won)
            points.setdefault(comparison.second.completion_id, []).append(1.0 - won)
    scores = {one: sum(won) / len(won) for one, won in points.items()}
    ends = (max(scores.values(), default=0.0), min(scores.values(), default=0.0))
    if ends[0] == ends[1]:
        return []
    for comparison, label in judged:
        sides = [comparison.first.completion_id, comparison.second.completion_id]
        if label.verdict is Verdict.SECOND:
            sides.reverse()
        if label.verdict in (Verdict.FIRST, Verdict.SECOND) and ends == tuple(
            scores[side] for side in sides
        ):
            return [(comparison, label)]
    return []
