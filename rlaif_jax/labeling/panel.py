"""What votes and jurors say beside one another.

Further shape letters: R raters, C categories.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from rlaif_jax.labeling.intervals import Measure, linearized, share
from rlaif_jax.labeling.jury import majority
from rlaif_jax.records import Label, Verdict

_USABLE = (Verdict.FIRST, Verdict.SECOND, Verdict.TIE)
_NONE = -1  # a rater without a usable verdict

Ballot = dict[tuple[str, str], list[Label]]  # critic and template -> usable votes


def panel_measures(
    labels: Sequence[Label], prompts: Int[np.ndarray, " N"]
) -> dict[str, Measure | None]:
    """How votes repeat themselves and jurors agree; None where there are none.

    Votes are what one model said to one question: jurors of the same model and
    template, whatever else sets them apart.

    Args:
      labels: Of the comparisons.
      prompts: A number for each one's prompt.
    """
    ballots = [_ballot(label) for label in labels]
    flips = [_share_that_differs(ballot) for ballot in ballots]
    verdicts = _verdicts(ballots)
    agreed = [_share_of_equal_pairs(row[row != _NONE]) for row in verdicts]
    return {
        "repeat_flips": share(np.array(flips, np.float64), prompts),
        "juror_agreement": share(np.array(agreed, np.float64), prompts),
        "alpha": krippendorff_alpha(verdicts, prompts),
    }


def krippendorff_alpha(
    verdicts: Int[np.ndarray, "N R"], prompts: Int[np.ndarray, " N"]
) -> Measure | None:
    """Agreement of any number of raters beyond chance, some of them silent at times.

    `alpha = 1 - o / e` (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability,
    section C, for categories without order). Over the comparisons that two or more
    rated, with `n` ratings in all and `n[c]` in category `c`,

        o = 1/n sum over comparisons of (m^2 - sum m[c]^2) / (m - 1)
        e = n / (n - 1) (1 - sum (n[c] / n)^2)

    for `m` ratings of a comparison, `m[c]` of them in category `c`.

    Args:
      verdicts: Categories from 0; -1 of a rater who said nothing.
      prompts: A number for each comparison's prompt.

    Returns:
      Alpha, 1 if all agree and 0 by chance; None if fewer than two prompts were rated
      twice, or every rating is the same.
    """
    categories = np.arange(max(verdicts.max(initial=0) + 1, 1))
    counts = (verdicts[:, :, None] == categories).sum(axis=1)
    is_rated = counts.sum(axis=1) > 1
    counts, clusters = counts[is_rated].astype(np.float64), prompts[is_rated]
    per_unit = counts.sum(axis=1)
    n = per_unit.sum()
    if n == 0.0:
        return None
    frequencies = counts.sum(axis=0) / n
    chance = n / (n - 1.0)
    expected = chance * (1.0 - float((frequencies**2).sum()))
    if expected == 0.0:
        return None
    differing = (per_unit**2 - (counts**2).sum(axis=1)) / (per_unit - 1.0)
    observed = float(differing.sum()) / n
    moved_observed = (differing - observed * per_unit) / n
    moved_frequencies = (counts - frequencies * per_unit[:, None]) / n
    moved_expected = -2.0 * chance * (moved_frequencies @ frequencies)
    return linearized(
        1.0 - observed / expected,
        -moved_observed / expected + observed / expected**2 * moved_expected,
        clusters,
    )


def _ballot(label: Label) -> Ballot:
    """The usable votes of a jury's label, by who was asked what; none of another's."""
    ballot: Ballot = {}
    for vote in _votes(label):
        if vote.verdict in _USABLE:
            ballot.setdefault((vote.critic, vote.template_hash), []).append(vote)
    return ballot


def _votes(label: Label) -> Iterator[Label]:
    """Every label that no further labels are behind; a juror may be a jury of votes."""
    for juror in label.jurors:
        yield from _votes(juror) if juror.jurors else (juror,)


def _share_that_differs(ballot: Ballot) -> float:
    """Of the pairs of votes of one juror, those that differ; NaN of no pairs."""
    pairs = [
        one.verdict is not other.verdict
        for votes in ballot.values()
        for one, other in itertools.combinations(votes, 2)
    ]
    return sum(pairs) / len(pairs) if pairs else float("nan")


def _share_of_equal_pairs(verdicts: Int[np.ndarray, " R"]) -> float:
    """Of the pairs of jurors, those that agree; NaN of no pairs."""
    pairs = [one == other for one, other in itertools.combinations(verdicts, 2)]
    return sum(pairs) / len(pairs) if pairs else float("nan")


def _verdicts(ballots: Sequence[Ballot]) -> Int[np.ndarray, "N R"]:
    """Each juror's verdict, of its votes the majority's, as a place in `_USABLE`."""
    jurors = list(dict.fromkeys(name for ballot in ballots for name in ballot))
    table = np.full((len(ballots), len(jurors)), _NONE, np.int64)
    for row, ballot in enumerate(ballots):
        for name, votes in ballot.items():
            verdict = votes[0].verdict if len(votes) == 1 else majority(votes)
            table[row, jurors.index(name)] = _USABLE.index(verdict)
    return table
