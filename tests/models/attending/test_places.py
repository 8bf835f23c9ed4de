"""Tests of `rlaif_jax.models.attending.places`."""

import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models.attending.places import (
    Places,
    attention_mask,
    is_in_row_order,
    or_nan,
)


def places_of(positions, segments, branches=None):
    parts = (
        (positions, segments) if branches is None else (positions, segments, branches)
    )
    return Places(*(jnp.array([list(part)]) for part in parts))


def mask_of(positions, segments, branches=None, window=None):
    places = places_of(positions, segments, branches)
    return np.asarray(attention_mask(places, places, window=window))[0].astype(int)


def test_a_query_sees_itself_and_what_came_before():
    np.testing.assert_array_equal(mask_of(range(3), [1] * 3), np.tril(np.ones((3, 3))))


def test_a_window_of_two_is_the_query_and_its_neighbour():
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(mask_of(range(4), [1] * 4, window=2), expected)


def test_segments_do_not_see_each_other_and_padding_sees_only_padding():
    expected = [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1],  # both pads are at position 0
        [0, 0, 0, 1, 1],
    ]
    actual = mask_of([0, 1, 0, 0, 0], [1, 1, 2, 0, 0])
    np.testing.assert_array_equal(actual, expected)


PAIR = ([0, 1, 2, 3, 2, 3, 4], [1] * 7, [0, 0, 1, 1, 2, 2, 2])  # prompt, chosen, rej.


def test_both_completions_see_the_prompt_and_neither_the_other():
    expected = [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0],
        [1, 1, 0, 0, 1, 1, 1],
    ]
    np.testing.assert_array_equal(mask_of(*PAIR), expected)


def test_a_window_counts_positions_not_columns():
    # the rejected's first token is 2 positions from the prompt's start, 4 columns away
    assert mask_of(*PAIR, window=3)[4].tolist() == [1, 1, 0, 0, 1, 0, 0]
    assert mask_of(*PAIR, window=2)[4].tolist() == [0, 1, 0, 0, 1, 0, 0]


def test_fewer_queries_than_keys_follow_the_same_rule():
    full = mask_of(range(6), [1] * 6, window=3)
    queries, keys = places_of([4, 5], [1, 1]), places_of(range(6), [1] * 6)
    part = attention_mask(queries, keys, window=3)
    np.testing.assert_array_equal(part[0], full[4:].astype(bool))


@pytest.mark.parametrize(
    "parts",
    [
        ([0, 1, 2, 0, 0], [1, 1, 1, 0, 0]),
        ([0, 0, 0, 1, 2], [0, 0, 1, 1, 1]),
        ([0, 1, 0, 1, 0], [1, 1, 2, 2, 0]),
        ([5, 6, 7, 0, 1], [3, 3, 3, 7, 7]),  # numbers may be left out
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        PAIR,
        ([0, 1, 0, 1, 2], [1] * 5, [1, 1, 2, 2, 2]),  # a prompt of no tokens
        ([0, 1, 1, 0, 0], [1, 1, 1, 2, 2], [0, 1, 2, 1, 2]),
    ],
)
def test_rows_in_order_are_recognized(parts):
    assert is_in_row_order(places_of(*parts)).tolist() == [True]


@pytest.mark.parametrize(
    "parts",
    [
        ([0, 2, 1], [1, 1, 1]),  # a later token comes first
        ([0, 0, 0], [1, 1, 1]),
        ([0, 2, 4], [1, 1, 1]),  # a window would count other keys
        ([0, 0, 1], [1, 2, 1]),  # a segment in two runs
        ([0, 0, 1], [1, 0, 1]),
        ([0, 1, 0], [2, 2, 1]),
        ([0, 1, 2], [1] * 3, [0, 2, 1]),  # rejected before chosen
        ([0, 1, 2], [1] * 3, [0, 1, 2]),  # the rejected goes on from the chosen
        ([0, 1, 0], [1] * 3, [0, 1, 2]),  # ... or starts at 0
        ([0, 1, 2], [1] * 3, [0, 1, 0]),
    ],
)
def test_rows_out_of_order_are_recognized(parts):
    assert is_in_row_order(places_of(*parts)).tolist() == [False]


def test_an_unfit_row_is_nan_and_the_others_are_as_they_were():
    actual = or_nan(jnp.ones((2, 3, 1)), jnp.array([True, False]))
    assert jnp.isfinite(actual).all(axis=(1, 2)).tolist() == [True, False]
    assert (actual[0] == 1.0).all()
