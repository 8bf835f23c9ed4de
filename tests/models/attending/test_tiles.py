"""Tests of `rlaif_jax.models.attending.tiles`."""

import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models.attending.places import attention_mask
from rlaif_jax.models.attending.tiles import (
    block_length,
    blocks_that_meet,
    from_tiles,
    in_tiles,
    list_pairs,
    padded,
)

EVER = jnp.int32(1 << 20)


def exact(places, block, window):
    """Whether any query of a block may read any key of another, pair by pair."""
    mask = np.array(attention_mask(places, places, window=window))
    mask &= np.asarray(places.segments > 0)[:, :, None]
    rows, length, _ = mask.shape
    cut = mask.reshape(rows, length // block, block, length // block, block)
    return cut.any(axis=(2, 4))


def test_tiles_are_rows_again(heads_of):
    heads = heads_of(3, groups=2, length=8)
    assert in_tiles(heads.q, block=4).shape == (6, 2, 8, 16)
    for part in heads:
        tiles = in_tiles(part, block=4)
        back = from_tiles(tiles, rows=3, block=4).reshape(part.shape)
        np.testing.assert_array_equal(back, part)


def test_rows_are_padded_to_whole_blocks():
    assert padded(jnp.ones((2, 5, 3)), block=4).shape == (2, 8, 3)
    assert padded(jnp.ones((2, 8)), block=4).shape == (2, 8)
    assert block_length(1000) == 64
    assert block_length(30) == 32


def test_one_text_meets_all_earlier_blocks(rows_of):
    places = rows_of([16], length=16)
    meets = blocks_that_meet(places, block=4, window=EVER)
    np.testing.assert_array_equal(meets[0], np.tri(4))


def test_padding_and_other_texts_are_left_out(rows_of):
    meets = blocks_that_meet(rows_of([4, 6], length=16), block=4, window=EVER)
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(meets[0], expected)


def test_a_window_leaves_far_blocks_out(rows_of):
    # the first query of block 2 is at 8, and sees 5, 6, 7 of block 1; of 0 to 3 none
    meets = blocks_that_meet(rows_of([16], length=16), block=4, window=jnp.int32(4))
    expected = np.tri(4) - np.tri(4, k=-2)
    np.testing.assert_array_equal(meets[0], expected)


def test_the_rejected_does_not_meet_the_chosen(rows_of):
    places = rows_of([(4, 8, 4)], length=16, has_branches=True)
    meets = blocks_that_meet(places, block=4, window=EVER)
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    np.testing.assert_array_equal(meets[0], expected)


@pytest.mark.parametrize("window", [EVER, jnp.int32(9)], ids=["all", "window"])
@pytest.mark.parametrize("has_branches", [False, True])
def test_nothing_that_is_read_is_left_out(rows_of, has_branches, window):
    draw = np.random.default_rng(0)
    kinds = [
        [tuple(map(int, draw.integers(1, 12, 3))) for _ in range(3)] for _ in range(20)
    ]
    rows = kinds if has_branches else [[sum(size) for size in row] for row in kinds]
    places = rows_of(*rows, length=112, has_branches=has_branches)
    meets = np.asarray(blocks_that_meet(places, block=8, window=window))
    needed = exact(places, 8, window)
    assert not (needed & ~meets).any()
    # without a window or branches it is exact: each segment is one run
    if not has_branches and window is EVER:
        np.testing.assert_array_equal(meets, needed)
    assert meets.sum() < 1.25 * needed.sum()


def test_the_list_holds_each_pair_once_and_then_nothing():
    meets = jnp.array([[[1, 0], [1, 1]], [[0, 0], [0, 1]]], bool)
    work = list_pairs(meets, scores_of_pair=1)
    pairs = np.stack(work.pairs, axis=1)
    # blocks 0, 1 of row 0 and 3 of row 1; 4 is no block
    assert pairs[:4].tolist() == [[0, 0], [1, 0], [1, 1], [3, 3]]
    assert (pairs[4:] == 4).all()
    assert int(work.num_parts) == 1


def test_the_list_is_worked_off_in_parts():
    meets = jnp.array([[[1, 0], [1, 1]], [[0, 0], [0, 1]]], bool)
    work = list_pairs(meets, scores_of_pair=1 << 17)  # two a part on a CPU
    assert (work.size, int(work.num_parts)) == (2, 2)
    seen = work.through(lambda total, part: total + part.queries.sum(), jnp.int32(0))
    assert int(seen) == 0 + 1 + 1 + 3
