"""The table of families, against truths by hand."""

import itertools
import re
from random import Random

import pytest

from rlaif_jax.lab.families import CONSONANTS, FAMILIES, VOWELS, draw_word, pick

# family, arguments, answer, likelier mistake, rarer mistake: by hand
TRUTHS = [
    ("upper", ("bado",), "BADO", "Bado", "bado"),
    ("first", ("bado",), "b", "o", "a"),
    ("last", ("bado",), "o", "b", "d"),
    ("reverse", ("bado",), "odab", "bado", "adob"),
    ("repeat", ("bad",), "badbad", "bad", "badba"),
    ("sort", ("tibo",), "biot", "tibo", "toib"),
    ("add", ("17", "5"), "22", "23", "32"),
    ("sub", ("22", "5"), "17", "18", "27"),
    ("larger", ("7", "31"), "31", "7", "32"),
    ("larger", ("31", "7"), "31", "7", "32"),
    ("vowels", ("bado",), "ao", "bd", "bado"),
    ("copy", ("bado",), "bado", "bad", "badoo"),
    ("ends", ("bado",), "bo", "ba", "ob"),
]


@pytest.mark.parametrize(("name", "arguments", "truth", "likely", "rare"), TRUTHS)
def test_truth_and_mistakes_are_those_worked_by_hand(
    name, arguments, truth, likely, rare
):
    family = FAMILIES[name]
    assert family.answer(*arguments) == truth
    assert tuple(mistake(*arguments) for mistake in family.mistakes) == (likely, rare)


def test_the_table_by_hand_covers_every_family():
    assert {row[0] for row in TRUTHS} == set(FAMILIES)


def test_every_family_is_asked_in_three_ways_or_more():
    assert all(len(set(family.phrasings)) >= 3 for family in FAMILIES.values())


def test_a_word_alternates_and_repeats_no_letter():
    random = Random(0)
    words = [draw_word(random)[0] for _ in range(500)]
    assert {len(word) for word in words} == {3, 4, 5}
    for word in words:
        kinds = [letter in VOWELS for letter in word]
        assert all(a != b for a, b in itertools.pairwise(kinds))
        assert len(set(word)) == len(word)
        assert set(word) <= set(VOWELS + CONSONANTS)


def test_pick_reaches_every_option():
    random = Random(0)
    assert {pick(random, "abc") for _ in range(100)} == {"a", "b", "c"}


@pytest.mark.parametrize("name", FAMILIES)
def test_drawn_arguments_look_as_the_family_says(name):
    family = FAMILIES[name]
    random = Random(1)
    for _ in range(200):
        for argument in family.draw(random):
            assert re.fullmatch(family.argument, argument)


def test_differences_stay_above_zero():
    random = Random(2)
    draws = [FAMILIES["sub"].draw(random) for _ in range(500)]
    assert min(int(a) - int(b) for a, b in draws) >= 1
