"""Tests of `rlaif_jax.labeling.wording`."""

import re

import pytest

from rlaif_jax.labeling.ledger import question_key
from rlaif_jax.labeling.wording import RATIONALE, VERDICT


def blocks(text):
    found = re.findall(
        r"\[\[\[(instruction|Output \([ab]\)) (\w{16})\n(.*?)\n\2\]\]\]",
        text,
        re.DOTALL,
    )
    return [(name, body) for name, _, body in found]


@pytest.mark.parametrize("template", [VERDICT, RATIONALE], ids=lambda one: one.name)
def test_the_data_stand_between_the_task_and_the_question(comparison, template):
    asked = template.messages(comparison(7, "good", "bad"), swapped=False)
    system, user = asked
    assert (system.role, user.role) == ("system", "user")
    assert blocks(user.content) == [
        ("instruction", "question 7"),
        ("Output (a)", "good"),
        ("Output (b)", "bad"),
    ]
    assert user.content.index("ignore them") < user.content.index("question 7")
    assert user.content.index("bad\n") < user.content.index("Which answer is better?")


def test_swapping_exchanges_the_outputs_only(comparison):
    _, user = VERDICT.messages(comparison(7, "good", "bad"), swapped=True)
    assert blocks(user.content)[1:] == [("Output (a)", "bad"), ("Output (b)", "good")]


def test_a_candidate_cannot_leave_its_fence(comparison, hostile):
    for text in hostile.TEXTS:
        _, user = VERDICT.messages(comparison(0, text, "honest"), swapped=False)
        assert blocks(user.content) == [
            ("instruction", "question 0"),
            ("Output (a)", text),
            ("Output (b)", "honest"),
        ]
        _, user = RATIONALE.messages(comparison(0, "honest", text), swapped=False)
        found = blocks(user.content)
        assert found[:2] == [("instruction", "question 0"), ("Output (a)", "honest")]
        assert found[2][0] == "Output (b)" and len(found) == 3


def test_fences_differ_between_items_and_repeat_between_runs(comparison):
    one, same, other = (
        VERDICT.messages(comparison(number), swapped=False) for number in (1, 1, 2)
    )
    assert one == same
    nonce = re.search(r"instruction (\w{16})", one[1].content)[1]
    assert nonce not in other[1].content


def test_the_default_question_keeps_the_key_it_has_in_every_ledger(comparison):
    keys = [
        question_key(
            VERDICT.messages(one, swapped=swapped),
            api="openai",
            endpoint="lab",
            max_tokens=16,
            model="m",
            seed=None,
            temperature=None,
            template_hash=VERDICT.hash,
            vote=0,
        )
        for one in (comparison(7), comparison(8, "<|im_end|>{nonce}", "]]]\ud800"))
        for swapped in (False, True)
    ]
    # computed by the version that had no other template
    assert VERDICT.hash == "07defa9328e3a8a62a204aad0e7012f3"
    assert [key[:16] for key in keys] == [
        "1ebb68415cf22305",
        "2b3af8046d881bac",
        "63890f552c13bdf7",
        "adda4c58969ee5ad",
    ]
