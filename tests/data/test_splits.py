"""Tests of `rlaif_jax.data.splits`."""

import random
from collections import Counter

import pytest

from rlaif_jax.data.splits import assign_splits, filter_prompts, first_ranks
from rlaif_jax.records import Message, Prompt

FRACTIONS = {"sft": 0.1, "aif": 0.9}


def prompts(count, split="train"):
    return [
        Prompt.create(
            (Message(role="user", content=f"{split} {i}"),), source="s", split=split
        )
        for i in range(count)
    ]


def splits(assigned):
    return {one.prompt_id: one.split for one in assigned}


@pytest.mark.parametrize(
    ("count", "fractions", "expected"),
    [
        (30, FRACTIONS, {"sft": 3, "aif": 27}),
        (805, FRACTIONS, {"sft": 81, "aif": 724}),  # 80.5 | 724.5: a tie, first wins
        (10, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"a": 4, "b": 3, "c": 3}),
        (1, FRACTIONS, {"aif": 1}),
        (0, FRACTIONS, {}),
        (7, {"all": 1.0, "none": 0.0}, {"all": 7}),
    ],
)
def test_counts_are_exact(count, fractions, expected):
    assigned = assign_splits(prompts(count), fractions, seed=0)
    assert Counter(one.split for one in assigned) == expected


def test_held_out_prompts_stay_and_do_not_count():
    held = prompts(5, "test") + prompts(5, "validation")
    assigned = assign_splits(held + prompts(20), FRACTIONS, seed=0, limit=10)
    assert list(assigned[:10]) == held
    assert Counter(one.split for one in assigned[10:]) == {"sft": 1, "aif": 9}


def test_the_given_order_is_kept_and_does_not_matter():
    given = prompts(50)
    assigned = assign_splits(given, FRACTIONS, seed=3)
    assert [one.prompt_id for one in assigned] == [one.prompt_id for one in given]
    random.Random(0).shuffle(given)
    assert splits(assign_splits(given, FRACTIONS, seed=3)) == splits(assigned)


def test_another_seed_draws_others():
    one, two = (assign_splits(prompts(50), FRACTIONS, seed=seed) for seed in (0, 1))
    assert splits(one) != splits(two)


def test_a_smaller_first_split_is_part_of_a_larger_one():
    small, large = (
        {
            one.prompt_id
            for one in assign_splits(prompts(50), {"sft": f, "aif": 1 - f}, seed=0)
            if one.split == "sft"
        }
        for f in (0.1, 0.3)
    )
    assert small < large


def test_too_long_prompts_are_counted_by_reason():
    texts = ["a b c", "a b c d", "abcdefgh", "x"]
    given = [
        Prompt.create((Message(role="user", content=text),), source="s")
        for text in texts
    ]
    kept, dropped = filter_prompts(given, max_words=3, max_characters=7)
    assert kept == (given[0], given[3])
    assert dropped == {"too_many_words": 1, "too_many_characters": 1}


def test_only_the_users_turns_count():
    turns = (
        Message(role="user", content="a b"),
        Message(role="assistant", content="c d e f"),
        Message(role="user", content="g"),
    )
    given = [Prompt.create(turns, source="s")]
    assert filter_prompts(given, max_words=3, max_characters=4).prompts == tuple(given)
    assert not filter_prompts(given, max_words=2, max_characters=4).prompts


def test_fewer_prompts_of_a_split_are_part_of_more():
    held, free = prompts(5, "test"), prompts(40)
    drawn = [
        splits(assign_splits(held + free, FRACTIONS, seed=0, at_most=at_most))
        for at_most in (None, {"aif": 20}, {"aif": 10, "sft": 2})
    ]
    assert drawn[0].items() >= drawn[1].items() >= drawn[2].items()
    counts = [Counter(one.values()) for one in drawn]
    assert counts[1] == {"test": 5, "sft": 4, "aif": 20}
    assert counts[2] == {"test": 5, "sft": 2, "aif": 10}


def test_the_first_ranks_are_those_that_at_most_keeps():
    fractions = {"sft": 0.25, "aif": 0.75}
    drawn = assign_splits(prompts(40), fractions, seed=3)
    kept = assign_splits(prompts(40), fractions, seed=3, at_most={"sft": 3, "aif": 9})
    first = first_ranks(drawn, 12, seed=3)
    assert splits(first) == splits(kept)  # 12 of 40 are 3 of 10 and 9 of 30
    assert first_ranks(drawn, 5, seed=3) == first[:5]
