"""Tests of `rlaif_jax.labeling.judged`."""

import json

import pytest

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.labeling.calls import LedgerCall
from rlaif_jax.labeling.judged import (
    judged_files,
    judged_key,
    judged_labels,
    preferences,
)
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.records import Verdict

ROW = {
    "output_1": "one",
    "output_2": "two",
    "generator_1": "davinci",
    "generator_2": "phi",
    "annotator": "gpt4",
    "price_per_example": 0.02,
}


def test_rows_of_files_become_labels_in_their_shown_order(tmp_path):
    # the instruction "a" is shown with its outputs switched, "c" is not:
    # paper_facts.md 5.4
    rows = [
        ROW | {"instruction": "a", "preference": 1},
        ROW | {"instruction": "c", "preference": 1.75},
        ROW | {"instruction": "d", "preference": None},
    ]
    path = tmp_path / "x.annotations.json"
    path.write_text(json.dumps(rows))
    first, second, third = judged_files([path])
    assert [one.label.verdict for one in (first, second, third)] == [
        Verdict.FIRST,
        Verdict.SECOND,
        Verdict.FAILED,
    ]
    assert (first.calls[0].swapped, second.calls[0].swapped) == (True, False)
    assert (second.label.p_first, second.label.cost_usd) == (0.25, 0.02)
    assert (first.place, second.place, third.place) == (0.0, 0.5, 1.0)
    assert third.label.state == "unparsable"
    assert first.comparison.first.generator == "davinci"
    assert first.instruction == "a"


@pytest.mark.parametrize(
    ("price", "state", "num_calls"),
    [(None, "skipped_identical", 0), (0.01, "labeled", 1)],
)
def test_equal_outputs_without_a_price_were_not_asked(
    tmp_path, price, state, num_calls
):
    same = {"instruction": "a", "output_2": "one", "preference": 1.5}
    path = tmp_path / "x.json"
    path.write_text(json.dumps([ROW | same | {"price_per_example": price}]))
    (found,) = judged_files([path])
    assert (found.label.state, len(found.calls)) == (state, num_calls)
    assert found.label.verdict is Verdict.TIE


def outcome(text, finish_reason="stop", state="answered"):
    return Outcome(state=state, text=text, finish_reason=finish_reason, attempts=1)


def test_labels_of_a_run_meet_their_calls(judged):
    both = judged(0, calls=((False, "first"), (True, "second")), p_first=0.5)
    half = judged(1, calls=((False, "failed"),), p_first=None)
    pair = both.comparison.pair_id
    ledger = {
        f"{pair}:ab": (LedgerCall(outcome("Output (a)"), 0.25),),
        f"{pair}:ba": (LedgerCall(outcome("Output (a), beca", "length"), 2.0),),
        f"{half.comparison.pair_id}:ab": (
            LedgerCall(outcome("", "refusal", state="refused"), 1.0),
        ),
    }
    found = judged_labels(
        [both.comparison, half.comparison],
        [both.label, half.label],
        calls=ledger,
        orders="both",
    )
    ab, ba = found[0].calls
    assert (ab.swapped, ab.verdict, ab.reply) == (False, "first", "Output (a)")
    assert (ba.swapped, ba.is_cut, ba.latency_s) == (True, True, 2.0)
    assert ab.is_cut is False
    (refused,) = found[1].calls
    assert (refused.is_cut, refused.latency_s) == (None, None)
    ledger[f"{pair}:ab"] *= 2  # two critics: whose words they are is not known
    found = judged_labels([both.comparison], [both.label], calls=ledger, orders="both")
    assert (found[0].calls[0].reply, found[0].calls[0].verdict) == ("", "first")


def test_replies_to_votes_and_jurors_are_left_out(judged):
    one = judged(0, calls=((False, "first"), (True, "second")), p_first=0.5)
    jury = one.label.model_copy(update={"jurors": (one.label, one.label)})
    ledger = {f"{one.comparison.pair_id}:ab": (LedgerCall(outcome("Output (a)"), 0.2),)}
    for label, reply, latency_s in ((one.label, "Output (a)", 0.2), (jury, "", None)):
        (found,) = judged_labels([one.comparison], [label], calls=ledger, orders="both")
        assert (found.calls[0].reply, found.calls[0].latency_s) == (reply, latency_s)
        assert [call.verdict for call in found.calls] == ["first", "second"]


@pytest.mark.parametrize(("number", "swapped"), [(1, False), (2, True)])
def test_one_hashed_order_is_known_without_a_ledger(judged, number, swapped):
    # random.Random("is_switched_outputsquestion 20").random() >= 0.5
    one = judged(number, calls=((False, "first"),))
    (found,) = judged_labels([one.comparison], [one.label], calls={}, orders="hashed")
    assert found.calls[0].swapped is swapped
    (unknown,) = judged_labels([one.comparison], [one.label], calls={}, orders=None)
    assert unknown.calls[0].swapped is None


def test_labels_of_other_comparisons_are_refused(judged):
    a, b = judged(0), judged(1)
    with pytest.raises(CorruptDataError, match="have changed since"):
        judged_labels([a.comparison], [b.label], calls={}, orders="both")
    with pytest.raises(CorruptDataError, match="2 labels, but 1 comparisons"):
        judged_labels([a.comparison], [a.label, b.label], calls={}, orders="both")


def test_another_judges_preferences_are_found_in_either_order(judged):
    known = preferences([judged(0, p_first=0.75), judged(1, p_first=None)])
    assert known[judged_key(judged(0))] == 0.75
    assert known[judged_key(judged(0, texts=("bad", "good")))] == 0.25
    assert known[judged_key(judged(1))] is None
    assert judged_key(judged(2)) not in known


def test_another_judge_may_not_contradict_itself(judged):
    with pytest.raises(CorruptDataError, match="question 0"):
        preferences([judged(0, p_first=1.0), judged(0, p_first=0.0)])
    same = judged(0, texts=("x", "x"), p_first=1.0)
    assert preferences([same])[judged_key(same)] in (0.0, 1.0)


def test_cut_completions_are_counted(judged):
    assert judged(0, finish_reasons=("length", "length")).num_cut == 2
    assert judged(0).num_cut == 0


def test_an_unknown_verdict_is_named(judged):
    one = judged(0)
    label = one.label.model_copy(update={"verdict_both_orders": "first,both"})
    with pytest.raises(CorruptDataError, match="'both' is not a valid Verdict"):
        judged_labels([one.comparison], [label], calls={}, orders="both")
