"""Tests of `rlaif_jax.data.rows`."""

import numpy as np
import pytest

from rlaif_jax.config import TokensConfig
from rlaif_jax.data.rows import Example, Pair, pair_rows, row_length, sft_rows
from rlaif_jax.errors import CorruptDataError


def test_rows_are_prompt_completion_padding():
    rows = sft_rows([Example([5, 6], [7]), Example([], [8, 9, 0, 0])], 4)
    assert rows.token_ids.tolist() == [[5, 6, 7, 0], [8, 9, 0, 0]]
    assert rows.positions.tolist() == [[0, 1, 2, 0], [0, 1, 2, 3]]
    assert rows.segment_ids.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert rows.completion_mask.tolist() == [
        [False, False, True, False],
        [True, True, True, True],  # id 0 counts: padding is not told by its id
    ]
    assert [array.dtype for array in rows] == [np.int32] * 3 + [np.bool_]


def test_a_pair_is_two_rows_with_the_same_prompt():
    rows = pair_rows([Pair([1], [2, 3], [4]), Pair([5], [6], [7])], 4)
    assert rows.token_ids.tolist() == [
        [[1, 2, 3, 0], [1, 4, 0, 0]],
        [[5, 6, 0, 0], [5, 7, 0, 0]],
    ]
    assert rows.completion_mask.sum(-1).tolist() == [[2, 1], [1, 1]]


def test_arrays_do_as_well_as_lists():
    lists = [Example([1, 2], [3]), Example([4], [5, 6])]
    arrays = [Example(*map(np.array, one)) for one in lists]
    for a, b in zip(sft_rows(lists, 8), sft_rows(arrays, 8), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_examples_are_no_rows():
    assert sft_rows([], 8).token_ids.shape == (0, 8)
    assert pair_rows([], 8).token_ids.shape == (0, 2, 8)


@pytest.mark.parametrize(("prompt", "completion", "length"), [(4, 4, 8), (5, 4, 16)])
def test_the_row_length_is_rounded_up(prompt, completion, length):
    config = TokensConfig(max_prompt_tokens=prompt, max_completion_tokens=completion)
    assert row_length(config) == length


def test_an_empty_completion_is_refused():
    with pytest.raises(CorruptDataError, match="completion of row 1 is empty"):
        sft_rows([Example([1], [2]), Example([1], [])], 8)


def test_a_row_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="row 1 has 5 tokens, more than 4"):
        sft_rows([Example([1], [2, 3, 4]), Example([1, 2], [3, 4, 5])], 4)
