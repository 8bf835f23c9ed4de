"""Tests of `rlaif_jax.data.conversations`."""

import pytest

from rlaif_jax.data.conversations import (
    file_split,
    is_unicode,
    kept_split,
    messages_of,
)
from rlaif_jax.errors import UsageError
from rlaif_jax.records import Message

HI = Message(role="user", content="hi")
YES = Message(role="assistant", content="yes")


@pytest.mark.parametrize("cell", ["hi", b"hi"])
def test_text_is_one_user_turn(cell):
    assert messages_of(cell) == (HI,)


def test_a_conversation_loses_the_answer_at_its_end():
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes"},
    ]
    assert messages_of(turns) == (HI,)
    assert messages_of([*turns, turns[0]]) == (HI, YES, HI)


def test_a_mapping_of_lists_is_a_list_of_mappings():
    cell = {"role": [b"user", b"assistant", b"user"], "content": [b"hi", b"yes", b"hi"]}
    assert messages_of(cell) == (HI, YES, HI)


def test_a_conversation_without_user_has_no_messages():
    assert messages_of([{"role": "assistant", "content": "yes"}]) == ()


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (7, "int is neither text"),
        ([3], "a turn needs role and content: 3"),
        ([{"role": "user"}], "a turn needs role"),
        ([{"role": "bot", "content": "x"}], "role 'bot' is not one of"),
        ([{"role": "user", "content": None}], "NoneType where text"),
        ({"role": ["user"], "content": []}, "needs role and content"),
        (b"\xff", "invalid start byte"),
    ],
)
def test_anything_else_is_refused_with_its_value(cell, reason):
    with pytest.raises(ValueError, match=reason):
        messages_of(cell)


def test_half_a_surrogate_pair_is_not_unicode():
    assert is_unicode("🌳") and not is_unicode("\ud83c")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("test", "test"), ("validation", "validation"), ("train[:9%]", "train")],
)
def test_held_out_splits_keep_their_name(name, kept):
    assert kept_split(name) == kept


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("test", "test"),
        ("test_prefs", "test"),
        ("test[:10%]", "test"),
        ("validation_matched", "validation"),
        ("train_sft", "train"),
        ("testing", "train"),
        ("eval", "validation"),
        ("dev", "validation"),
        ("Valid[:9%]", "validation"),
        ("prefs_test", "test"),
        ("train_sft+train_gen", "train"),
        ("test[:1%]+test[2%:]", "test"),
    ],
)
def test_held_out_splits_stay_so_by_whatever_follows_their_name(name, split):
    assert kept_split(name) == split


@pytest.mark.parametrize(
    "name", ["all", "train+test", "train[:1%]+validation", "test+validation"]
)
def test_a_mixture_with_a_held_out_split_is_refused(name):
    with pytest.raises(UsageError, match=r"split '.*' mixes a held-out split"):
        kept_split(name)


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("test-00000-of-00001", "test"),
        ("valid", "validation"),
        ("train_test", "train"),
        ("all", "train"),
        ("", "train"),
    ],
)
def test_the_first_word_of_a_files_name_says_its_split(stem, split):
    assert file_split(stem) == split
