"""Tests of `rlaif_jax.labeling.meanings`."""

import pytest

from rlaif_jax.labeling.meanings import MEANINGS, written


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("share", 0.6789, "67.9 %"),
        ("change", -0.0213, "\N{MINUS SIGN}2.1 points"),
        ("change", 0.5, "+50.0 points"),
        ("kappa", 0.4, "0.400"),
        ("nats", 1.234, "+1.23"),
        ("usd", 0.01375, "$0.0138"),
        ("usd", 4321.5, "$4,321.50"),
        ("calls", 2.0, "2.000"),
        ("s", 0.5, "0.50 s"),
    ],
)
def test_values_are_written_with_their_unit(unit, value, text):
    assert written(unit, value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_every_figure_says_what_it_is_and_why_it_may_be_missing():
    titles = [meaning.title for meaning in MEANINGS.values()]
    assert len(set(titles)) == len(titles)
    assert all(meaning.text and meaning.absent for meaning in MEANINGS.values())
