"""Tests of `rlaif_jax.data.sharegpt`."""

import json

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.sharegpt import read_sharegpt
from rlaif_jax.errors import CorruptDataError


@pytest.fixture
def read(tmp_path):
    def read_items(items):
        path = tmp_path / "sharegpt.json"
        path.write_text(json.dumps(items))
        return list(read_sharegpt(SourceConfig(format="sharegpt", path=str(path))))

    return read_items


def chat(*turns):
    return {"id": "x", "conversations": [{"from": f, "value": v} for f, v in turns]}


def outcome(exchange):
    text = exchange.messages[0].content if exchange.messages else None
    return text, exchange.answer, exchange.dropped


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([("human", "q"), ("gpt", "a")], ("q", "a", None)),
        (
            [("human", "q"), ("gpt", "a"), ("human", "r"), ("gpt", "b")],
            ("q", "a", None),
        ),
        ([("system", "s"), ("human", "q"), ("gpt", "a")], ("q", "a", None)),
        ([("human", "q"), ("bing", "x"), ("gpt", "a")], ("q", "a", None)),
        ([("gpt", "a"), ("human", "q")], (None, None, "assistant_first")),
        ([("system", "s")], (None, None, "no_human_turn")),
        ([], (None, None, "no_human_turn")),
        ([("human", "q")], ("q", None, None)),
        ([("human", "q"), ("human", "r"), ("gpt", "a")], ("q", None, None)),
        ([("human", "q"), ("gpt", " ")], ("q", None, None)),
        ([("human", "q"), ("gpt", "\ud800")], ("q", None, None)),
        ([("human", " q\n"), ("gpt", "a")], (" q\n", "a", None)),
    ],
)
def test_the_first_exchange_is_kept(read, turns, expected):
    assert [outcome(one) for one in read([chat(*turns)])] == [expected]


@pytest.mark.parametrize("marker", ["<s>", "</s>", "<|endoftext|>"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_marker_in_any_turn_drops_the_conversation(read, marker, place):
    turns = [("human", "q"), ("gpt", "a"), ("human", "r"), ("other", "b")]
    turns[place] = (turns[place][0], f"x{marker}y")
    assert [one.dropped for one in read([chat(*turns)])] == ["special_token_text"]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({}, "'conversations' is NoneType"),
        ({"conversations": [3]}, "a turn is int"),
        ({"conversations": [{"from": "human"}]}, "needs 'from' and 'value'"),
        ({"conversations": [{"from": "human", "value": 1}]}, "both text"),
    ],
)
def test_another_format_is_corrupt_data_that_names_the_conversation(read, item, reason):
    with pytest.raises(CorruptDataError, match=f"conversation 1: .*{reason}"):
        read([chat(("human", "q")), item])
