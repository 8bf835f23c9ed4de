"""The scorer's wire format, without a network."""

import json

import pytest

from rlaif_jax.lab.scorer import score_body
from rlaif_jax.lab.wire import WireError

ITEM = {"messages": [{"role": "user", "content": "Reverse bado"}], "text": "odab"}


def _body(*items):
    return json.dumps(items).encode()


def test_each_item_gets_its_figures_in_order():
    styled = {**ITEM, "text": "The answer is bado.", "finish_reason": "length"}
    rows = json.loads(score_body(_body(ITEM, styled), style_weight=0.2))
    assert rows[0] == {
        "family": "reverse",
        "reward": 1.0,
        "accuracy": 1.0,
        "style": 0.0,
        "characters": 4,
    }
    # no character of "bado" is in place; style .2, no end -.2
    assert rows[1]["reward"] == pytest.approx(0.0)
    assert (rows[1]["accuracy"], rows[1]["style"]) == (0.0, 1.0)


def test_the_style_weight_is_the_worlds():
    styled = {**ITEM, "text": "The answer is odab."}
    assert json.loads(score_body(_body(styled), style_weight=0.0))[0]["reward"] == 1.0


def test_no_items_get_no_figures():
    assert score_body(b"[]", style_weight=0.2) == b"[]"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{}", "items: .*array"),
        (b"[", "JSON"),
        (_body({**ITEM, "messages": []}), "items.0.messages"),
        (_body({"messages": ITEM["messages"]}), "items.0.text"),
        (_body({**ITEM, "messages": [{"role": "user", "content": "Hi"}]}), "'Hi'"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(body, named):
    with pytest.raises(WireError, match=named):
        score_body(body, style_weight=0.2)
