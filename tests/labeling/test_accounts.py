"""Tests of `rlaif_jax.labeling.accounts`."""

import pytest

from rlaif_jax.errors import InternalError, PreemptedError
from rlaif_jax.labeling.accounts import Accounts
from rlaif_jax.labeling.outcome import Outcome
from rlaif_jax.records import Completion, Label, Usage, Verdict


def label(state, verdict):
    return Label(
        pair_id="p",
        verdict=verdict,
        p_first=None,
        verdict_both_orders="",
        state=state,
        critic="c",
        critic_returned_model="c",
        template_hash="t",
        usage=Usage(prompt_tokens=10, completion_tokens=2),
        cost_usd=0.25,
        calls=2,
    )


def test_labels_add_up():
    accounts = Accounts(total=3)
    accounts.add_label(label("labeled", Verdict.FIRST))
    accounts.add_label(label("labeled", Verdict.TIE))
    with pytest.raises(InternalError, match="2 of 3"):
        accounts.check()
    accounts.add_label(label("refused", Verdict.FAILED))
    accounts.check()
    assert accounts.done == 3
    assert accounts.states == {"labeled": 2, "refused": 1}
    assert accounts.verdicts == {"failed": 1, "first": 1, "tie": 1}
    assert accounts.spent() == {
        "calls": 6,
        "prompt_tokens": 30,
        "completion_tokens": 6,
        "cost_usd": 0.75,
    }


def test_a_probe_is_billed_and_is_no_item():
    outcome = Outcome(
        state="answered",
        finish_reason="stop",
        usage=Usage(prompt_tokens=7, completion_tokens=2),
        cost_usd=0.5,
        attempts=3,
    )
    accounts = Accounts(total=0)
    accounts.add_probe(outcome)
    accounts.check()
    assert accounts.spent() == {
        "calls": 3,
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "cost_usd": 0.5,
    }


@pytest.mark.parametrize("cents", [(10, 20, 30), (20, 30, 70)])
def test_the_price_does_not_depend_on_when_probes_are_added(cents):
    one = label("labeled", Verdict.FIRST)
    labels = [one.model_copy(update={"cost_usd": cent / 100}) for cent in cents]
    probe = Outcome(
        state="answered",
        finish_reason="stop",
        usage=one.usage,
        cost_usd=0.1,
        attempts=1,
    )
    before, after = Accounts(), Accounts()
    before.add_probe(probe)
    for each in labels:
        before.add_label(each)
        after.add_label(each)
    after.add_probe(probe)
    assert before.cost_usd == after.cost_usd


def test_completions_are_counted_by_their_end():
    accounts = Accounts()
    for reason in ("stop", "stop", "length"):
        accounts.add_completion(
            Completion.create(
                "p", "text", generator="g", finish_reason=reason, cost_usd=0.5
            )
        )
    accounts.check()
    assert accounts.states == {"stop": 2, "length": 1}
    assert accounts.cost_usd == 1.5


def test_a_run_without_enough_answers_is_not_over():
    accounts = Accounts(total=3, max_unanswered=1)
    accounts.add_label(label("failed", Verdict.FAILED))
    accounts.add_label(label("unparsable", Verdict.FAILED))  # an answer, of a kind
    assert not accounts.is_short
    accounts.add_label(label("failed", Verdict.FAILED))
    assert accounts.is_short
    with pytest.raises(PreemptedError, match=r"2 of 3 .*max_unanswered=2"):
        accounts.check()
