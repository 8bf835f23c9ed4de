"""Tests of `rlaif_jax.annotations`."""

import gzip
import json

import pytest

from rlaif_jax.annotations import read_judgments
from rlaif_jax.errors import CorruptDataError


def row(preference, **fields):
    return {
        "instruction": "question",
        "output_1": "good",
        "output_2": "bad",
        "preference": preference,
    } | fields


def judgment(path, **fields):
    path.write_text(json.dumps([row(1, **fields)]))
    (one,) = read_judgments(path)
    return one


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("{}", "not a list"),
        ("[3]", "row 0 is int"),
        ("[{}]", "instruction is not text"),
        (json.dumps([row(3)]), "preference is 3"),
        (json.dumps([row("1")]), "preference is '1'"),
        ('[{"instruction": "q", "output_1": "a", "output_2": "b"}]', "no preference"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, text, complaint):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(CorruptDataError, match=complaint):
        read_judgments(path)


def test_packed_files_are_read(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps([row(2)]).encode()))
    assert read_judgments(path)[0].preference == 2.0


@pytest.mark.parametrize(
    ("prices", "cost_usd"),
    [
        ({"price_per_example": 0.02}, 0.02),
        ({"price_per_example": 1}, 1.0),
        ({"preference_price_per_example": 0.5}, 0.5),
        ({"price_per_example": None, "preference_price_per_example": 0.5}, 0.5),
        ({"price_per_example": -1.0}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_price_is_read_by_its_older_and_its_newer_name(tmp_path, prices, cost_usd):
    assert judgment(tmp_path / "a.json", **prices).cost_usd == cost_usd


def test_names_that_are_null_are_made_up(tmp_path):
    names = {"generator_1": None, "generator_2": None, "annotator": None}
    one = judgment(tmp_path / "a.json", **names)
    found = (one.generator_1, one.generator_2, one.annotator)
    assert found == ("output_1", "output_2", "recorded")
