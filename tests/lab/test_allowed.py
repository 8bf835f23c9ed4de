"""Requests that allow a few replies are read in every vendor's words."""

import json

import pytest

from rlaif_jax.lab.allowed import Allowed, read_allowed

SCHEMA = {"properties": {"verdict": {"enum": ["A", "B"]}}}
FORM = {"type": "json_schema", "schema": SCHEMA}


@pytest.mark.parametrize(
    ("document", "allowed"),
    [
        ({}, None),
        ({"text": {"verbosity": "low"}, "output_config": {"effort": "low"}}, None),
        ({"response_format": None}, None),
        ({"structured_outputs": {"choice": ["A", "B"]}}, Allowed(("A", "B"), None)),
        (
            {"response_format": {"type": "json_schema", "json_schema": FORM}},
            Allowed(("A", "B"), "verdict"),
        ),
        ({"text": {"format": FORM}}, Allowed(("A", "B"), "verdict")),
        ({"output_config": {"format": FORM}}, Allowed(("A", "B"), "verdict")),
    ],
)
def test_each_way_to_allow_is_read(document, allowed):
    assert read_allowed(document) == allowed


@pytest.mark.parametrize(
    "document",
    [
        {"structured_outputs": {"regex": "a"}},
        {"structured_outputs": {"choice": []}},
        {"structured_outputs": ["A"]},
        {"response_format": {"type": "json_object"}},
        {"text": {"format": {"type": "json_schema", "schema": {}}}},
        {"text": {"format": {"schema": {"properties": {"a": {}, "b": {}}}}}},
        {"output_config": {"format": {"schema": {"properties": {"a": {}}}}}},
    ],
)
def test_what_the_lab_does_not_do_is_refused(document):
    with pytest.raises(ValueError, match="the lab does"):
        read_allowed(document)


def test_a_model_that_may_not_say_what_it_likes_says_something_else():
    bare, held = Allowed(("A", "B"), None), Allowed(("A", "B"), "verdict")
    assert [bare.reply(text) for text in ("A", "B", "the sea")] == ["A", "B", "A"]
    assert json.loads(held.reply("B")) == {"verdict": "B"}
