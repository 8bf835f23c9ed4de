"""Tests of `rlaif_jax.labeling.candidates`."""

import itertools

import pytest

from rlaif_jax.labeling.candidates import best_against_worst
from rlaif_jax.records import Comparison, Completion, Label, Verdict

P = {"first": 1.0, "second": 0.0, "tie": 0.5, "failed": None}


@pytest.fixture
def judged(prompt):
    """Comparisons of candidates, all pairs, with the verdicts in their order."""

    def build(names, verdicts):
        asked = prompt()
        written = [Completion.create(asked.prompt_id, n, generator=n) for n in names]
        pairs = itertools.combinations(written, 2)
        comparisons = [Comparison.create(asked, *pair) for pair in pairs]
        return [
            (
                comparison,
                Label(
                    pair_id=comparison.pair_id,
                    verdict=Verdict(verdict),
                    p_first=P[verdict],
                    verdict_both_orders="",
                    state="labeled",
                    critic="c",
                    critic_returned_model="c",
                    template_hash="t",
                ),
            )
            for comparison, verdict in zip(comparisons, verdicts, strict=True)
        ]

    return build


def told(pairs):
    return [
        (one.first.text + one.second.text, label.verdict.value) for one, label in pairs
    ]


@pytest.mark.parametrize(
    ("verdicts", "pair"),
    [  # of x with y, x with z, y with z
        (["first", "first", "first"], [("xz", "first")]),
        (["second", "second", "second"], [("xz", "second")]),
        (["first", "second", "second"], [("yz", "second")]),  # z 2, x 1, y 0
        (["tie", "first", "first"], [("xz", "first")]),  # x and y 1.5: the first pair
        (["first", "tie", "tie"], [("xy", "first")]),  # x 1.5, z 1, y .5
        (["first", "second", "first"], []),  # a circle: all have 1
        (["tie", "tie", "tie"], []),
        (["failed", "failed", "failed"], []),
        (["failed", "first", "failed"], [("xz", "first")]),
    ],
)
def test_the_best_beat_the_worst(judged, verdicts, pair):
    assert told(best_against_worst(judged("xyz", verdicts))) == pair


def test_a_best_one_that_did_not_beat_the_worst_tells_nothing(judged):
    # wx wy wz xy xz yz: w has 2 of 3, y 1.5, x 1.5, z 1, yet z beat w
    verdicts = ["first", "first", "second", "tie", "first", "first"]
    assert best_against_worst(judged("wxyz", verdicts)) == []


def test_a_failure_takes_no_points(judged):
    # x won 1 of 1, y 0.5 of 1, z 0.25..: x-y failed, x beat z, y and z tie
    pairs = best_against_worst(judged("xyz", ["failed", "first", "tie"]))
    assert told(pairs) == [("xz", "first")]


def test_nothing_is_told_of_nothing():
    assert best_against_worst([]) == []
