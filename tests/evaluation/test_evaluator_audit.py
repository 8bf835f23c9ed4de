"""Tests of `rlaif_jax.evaluation.evaluator_audit`."""

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.evaluator_audit import (
    NAMES,
    audit_evaluator,
    evaluator_lines,
)
from rlaif_jax.labeling.judged import Call, Judged
from rlaif_jax.labeling.meanings import MEANINGS
from rlaif_jax.records import Comparison, Completion, Label, Message, Prompt, Verdict

FIRST, SECOND = Verdict.FIRST, Verdict.SECOND


def judged(number, ab, ba, *, texts=("a baseline", "short")):
    """Verdicts of both orders, about the comparison as it is stored."""
    prompt = Prompt.create((Message(role="user", content=str(number)),), source="")
    sides = [
        Completion.create(prompt.prompt_id, text, generator=name)
        for name, text in zip(("baseline", "candidate"), texts, strict=True)
    ]
    comparison = Comparison.create(prompt, *sides)
    verdict = ab if ab == ba else Verdict.TIE
    p_first = {FIRST: 1.0, SECOND: 0.0, Verdict.TIE: 0.5}[verdict]
    label = Label(
        pair_id=comparison.pair_id,
        verdict=verdict,
        p_first=p_first,
        verdict_both_orders=f"{ab.value},{ba.value}",
        state="labeled",
        critic="judge",
        critic_returned_model="judge",
        template_hash="",
    )
    calls = (Call(swapped=False, verdict=ab), Call(swapped=True, verdict=ba))
    return Judged(
        comparison=comparison, label=label, calls=calls, place=0.0, is_cut_known=True
    )


def test_an_evaluator_that_loves_the_first_place_and_length_is_found_out():
    # 2 of 4 keep their verdict, both flips are to the first shown: of 8 calls, those
    # 4 and one each of the others; the longer, the baseline, won 1 of 2 decided
    flips = [judged(number, FIRST, SECOND) for number in (0, 1)]
    found = audit_evaluator(
        [*flips, judged(2, FIRST, FIRST), judged(3, SECOND, SECOND)]
    )
    values = {name: measure.value for name, measure in found.measures.items()}
    assert values["order_consistency"] == 0.5
    assert values["flips_to_first"] == 1.0
    assert values["p_first_shown"] == pytest.approx(6 / 8)
    assert values["p_longer"] == 0.5
    assert (found.evaluators, found.comparisons) == (("judge",), 4)


def test_every_figure_is_there_or_its_absence_explained():
    found = audit_evaluator([judged(0, FIRST, FIRST)])
    assert {*found.measures, *found.absent} == set(NAMES)
    assert set(NAMES) <= set(MEANINGS)


def test_nothing_judged_is_refused():
    with pytest.raises(UsageError, match="no labels"):
        audit_evaluator([])


def test_figures_are_written_in_their_order_with_their_units():
    found = audit_evaluator([judged(0, FIRST, SECOND), judged(1, FIRST, FIRST)])
    lines = evaluator_lines(found)
    assert [line.title for line, _, _ in lines] == [
        MEANINGS[name].title for name in NAMES if name in found.measures
    ]
    assert lines[0][1] == "50.0\N{NO-BREAK SPACE}%"
    assert " to " in lines[0][2]
