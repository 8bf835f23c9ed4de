"""Tests of `rlaif_jax.data.sharegpt`."""

import itertools
import json

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.paper_tokens import paper_text
from rlaif_jax.data.sharegpt import read_sharegpt
from rlaif_jax.errors import CorruptDataError


@pytest.fixture
def read(tmp_path):
    def read_items(items, **options):
        path = tmp_path / "sharegpt.json"
        path.write_text(json.dumps(items))
        source = SourceConfig(format="sharegpt", path=str(path), **options)
        return list(read_sharegpt(source))

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


def walked(exchange):
    turns = [(turn.role[0], turn.content) for turn in exchange.messages]
    return exchange.dropped or (turns, exchange.answer)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([("human", "q"), ("gpt", "a")], [([("u", "q")], "a")]),
        # the next question is in the first three turns, and nobody answers it there
        (
            [("human", "q"), ("gpt", "a"), ("human", "r"), ("gpt", "b")],
            [([("u", "q")], "a")],
        ),
        ([("gpt", "a"), ("human", "q"), ("gpt", "b")], ["assistant_first"]),
        # two questions become one, with the cue between
        (
            [("human", "q"), ("human", "r"), ("gpt", "a")],
            [([("u", "q\n\nAssistant: r")], "a")],
        ),
        # an assistant who goes on answers a human who says nothing
        (
            [("human", "q"), ("gpt", "a"), ("gpt", "b")],
            [([("u", "q")], "a"), ([("u", "q"), ("a", "a"), ("u", "")], "b")],
        ),
        # other speakers take a place of the three and say nothing
        ([("system", "s"), ("human", "q"), ("gpt", "a")], [([("u", "q")], "a")]),
        ([("system", "s")] * 2 + [("human", "q"), ("gpt", "a")], ["unanswered"]),
        ([("system", "s")] * 3 + [("human", "q"), ("gpt", "a")], ["no_human_turn"]),
        ([("bing", "x"), ("gpt", "a")], ["assistant_first"]),
        ([("human", "q")], ["unanswered"]),
        ([], ["no_human_turn"]),
        # nothing is stripped, and nothing is too empty
        ([("human", " q\n"), ("gpt", " a ")], [([("u", " q\n")], " a ")]),
        ([("human", ""), ("gpt", "")], [([("u", "")], "")]),
    ],
)
def test_the_papers_rules_walk_as_its_code_does(read, turns, expected):
    assert [walked(one) for one in read([chat(*turns)], rules="paper")] == expected


def test_the_papers_rules_take_more_turns_if_asked(read):
    turns = [("human", "q"), ("gpt", "a"), ("human", "r"), ("gpt", "b"), ("human", "s")]
    items = [chat(*turns, ("gpt", "c"))]
    read_both = read(items, rules="paper", num_turns=2)
    assert [walked(one) for one in read_both] == [
        ([("u", "q")], "a"),
        ([("u", "q"), ("a", "a"), ("u", "r")], "b"),
    ]


def authors_walk(turns):
    """What their code records of one conversation: prompt text to answer."""
    prompt, recorded = "", []
    for speaker, text in turns:
        if speaker == "human":
            prompt = prompt or "Human: "
            prompt += f"{text}\n\nAssistant: "
        elif not prompt:
            return []
        else:
            recorded.append((prompt, text))
            prompt += f"{text}\n\nHuman: "
    return recorded


@pytest.mark.parametrize("blank", [None, 0, 1, 2, 3, 4])
def test_the_text_of_any_five_turns_is_the_authors(read, tokenizer, blank):
    for speakers in itertools.product(("human", "gpt"), repeat=5):
        texts = ["" if place == blank else f"t{place}" for place in range(5)]
        turns = list(zip(speakers, texts, strict=True))
        found = [
            (paper_text(one.messages, tokenizer), one.answer)
            for one in read([chat(*turns)], rules="paper", num_turns=2)
            if one.dropped is None
        ]
        assert found == authors_walk(turns), turns


@pytest.mark.parametrize("rules", ["clean", "paper"])
def test_a_fraction_is_of_the_rows_of_the_file_before_any_is_dropped(read, rules):
    dropped = chat(("human", "</s>"), ("gpt", "a"))
    items = [dropped] * 3 + [chat(("human", f"q{i}"), ("gpt", "a")) for i in range(16)]
    exchanges = read(items, rules=rules, data_fraction=0.25)  # int(4.75) rows
    assert [one.dropped for one in exchanges] == ["special_token_text"] * 3 + [None]


def test_a_marker_in_a_late_turn_drops_the_conversation_under_the_papers_rules(read):
    turns = [("human", "q"), ("gpt", "a"), ("human", "r"), ("gpt", "<s>")]
    assert [walked(one) for one in read([chat(*turns)], rules="paper")] == [
        "special_token_text"
    ]
