"""Tests of `rlaif_jax.labeling.planting`."""

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.labeling.planting import INJECTIONS, KINDS, planted


def test_each_prompt_has_one_of_each_kind_and_the_own_answer_first(comparison):
    made = [comparison(number, first=f"answer {number}") for number in range(10)]
    found = planted(made, 4)
    assert [one.kind for one in found] == list(KINDS) * 4
    # places 0, 2, 5, 7 of ten, and the answers five places further on
    for group, place in enumerate((0, 2, 5, 7)):
        wrong = f"answer {(place + 5) % 10}"
        empty, off_topic, injected = found[3 * group : 3 * group + 3]
        for _, one in (empty, off_topic, injected):
            assert one.prompt_id == made[place].prompt_id
            assert one.messages == made[place].messages
            assert one.first == made[place].first
        assert empty.comparison.second.text == ""
        assert off_topic.comparison.second.text == wrong
        text = injected.comparison.second.text
        assert text == f"{wrong}\n\n{INJECTIONS[group]}"
    assert len({one.comparison.pair_id for one in found}) == 12
    assert planted(made, 4) == found


def test_a_prompt_counts_once_and_there_are_no_more_than_all(comparison):
    made = [comparison(0), comparison(0, second="worse"), comparison(1)]
    assert len(planted(made, 50)) == 2 * 3


def test_none_are_made_unless_they_are_wanted(comparison):
    assert planted([comparison(0)], 0) == []


def test_one_prompt_has_no_wrong_answers(comparison):
    with pytest.raises(UsageError, match=r"canaries=5 needs .* two prompts"):
        planted([comparison(0)], 5)
