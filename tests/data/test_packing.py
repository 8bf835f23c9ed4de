"""Tests of `rlaif_jax.data.packing`."""

import numpy as np
import pytest

from rlaif_jax.data.packing import (
    best_fit,
    fill,
    lay_out,
    pack,
    pad,
    plan_packed,
)
from rlaif_jax.errors import CorruptDataError


def test_best_fit_leaves_the_least_room():
    # 7 | 6 | 5: in rows of 10; then 4 fills that of 6, 3 that of 7, 2 goes beside 5
    assert best_fit([4, 7, 2, 6, 3, 5], 10) == [[1, 4], [0, 3], [2, 5]]


def test_best_fit_is_near_the_fewest_rows():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = rng.integers(1, 100, 200).tolist()
        rows = best_fit(sizes, 100)
        assert sorted(i for row in rows for i in row) == list(range(200))
        assert max(sum(sizes[i] for i in row) for row in rows) <= 100
        fewest = -(-sum(sizes) // 100)
        assert len(rows) <= 11 / 9 * fewest + 1


def searched(sizes, length):
    """Best fit as it is defined: all rows are looked at for each item."""
    rows = []
    for item in sorted(range(len(sizes)), key=lambda one: -sizes[one]):
        rooms = [length - sum(sizes[one] for one in row) for row in rows]
        fitting = [(room, n) for n, room in enumerate(rooms) if room >= sizes[item]]
        if not fitting:
            rows.append([])
        rows[min(fitting)[1] if fitting else -1].append(item)
    return [sorted(row) for row in rows]


@pytest.mark.parametrize("count", [0, 1, 2, 10, 60])
def test_best_fit_takes_the_first_of_the_rows_with_the_least_room(count):
    rng = np.random.default_rng(count)
    for length, longest in ((8, 8), (50, 20), (1000, 300)):
        sizes = rng.integers(1, longest + 1, count).tolist()
        assert best_fit(sizes, length) == searched(sizes, length)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="item 1 has 11 tokens, more than 10"):
        best_fit([3, 11], 10)
    with pytest.raises(ValueError, match="row 0 has 5 tokens, more than 4"):
        pad([[[1, 2], [3, 4, 5]]], length=4)


def test_a_pair_by_hand():
    rows = pack([[[5, 6], [7, 8, 9], [3, 4]]], length=8)
    assert rows.token_ids.tolist() == [[5, 6, 7, 8, 9, 3, 4, 0]]
    assert rows.positions.tolist() == [[0, 1, 2, 3, 4, 2, 3, 0]]
    assert rows.segment_ids.tolist() == [[1, 1, 1, 1, 1, 1, 1, 0]]
    assert rows.branches.tolist() == [[0, 0, 1, 1, 1, 2, 2, 0]]
    # state 1 ends the prompt: it predicts the first token of both completions
    assert rows.sources.tolist() == [[1, 2, 3, 1, 5]]
    assert rows.places.tolist() == [[2, 3, 4, 5, 6]]
    assert rows.targets.tolist() == [[7, 8, 9, 3, 4]]
    assert rows.sequences.tolist() == [[0, 0, 0, 1, 1]]
    assert rows.lengths.tolist() == [[3, 2]]
    assert fill(rows) == 7 / 8


def test_two_examples_share_a_row_by_hand():
    rows = pack([[[5], [6, 7]], [[8, 9], [1]]], length=8)
    assert rows.token_ids.tolist() == [[5, 6, 7, 8, 9, 1, 0, 0]]
    assert rows.positions.tolist() == [[0, 1, 2, 0, 1, 2, 0, 0]]
    assert rows.segment_ids.tolist() == [[1, 1, 1, 2, 2, 2, 0, 0]]
    assert rows.sources.tolist() == [[0, 1, 4]]
    assert rows.targets.tolist() == [[6, 7, 1]]
    assert rows.sequences.tolist() == [[0, 0, 1]]
    assert rows.lengths.tolist() == [[2], [1]]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_rows_that_processes_make_are_together_all(count):
    draws = np.random.default_rng(0)
    items = [
        [draws.integers(1, 99, n).tolist() for n in draws.integers(1, 9, 3)]
        for _ in range(21)
    ]
    plan = plan_packed(items, length=32, multiple=4)
    (whole,) = lay_out([plan])
    parts = []
    for index in range(count):

        def own(num_rows, index=index):
            return slice(num_rows * index // count, num_rows * (index + 1) // count)

        parts += lay_out([plan], own)
    for name, array in whole._asdict().items():
        found = [getattr(part, name) for part in parts]
        if name == "lengths":
            assert all((one == array).all() for one in found)
        else:
            np.testing.assert_array_equal(np.concatenate(found), array)


def test_padded_rows_hold_one_completion_each():
    rows = pad([[[5, 6], [7], [3, 4]], [[8], [9], [2]]], length=4)
    assert rows.token_ids.tolist() == [
        [5, 6, 7, 0],
        [5, 6, 3, 4],
        [8, 9, 0, 0],
        [8, 2, 0, 0],
    ]
    assert rows.branches is None
    assert rows.sequences.tolist() == [[0, 4], [1, 1], [2, 4], [3, 4]]  # 4 is no one's
    assert rows.lengths.tolist() == [[1, 2], [1, 1]]


def random_items(rng, count, completions=2, longest=40):
    return [
        [
            rng.integers(1, 99, rng.integers(1, longest)).tolist()
            for _ in range(completions + 1)
        ]
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_every_completion_token_has_its_slot(seed):
    rng = np.random.default_rng(seed)
    items = random_items(rng, 17)
    rows = pack(items, length=128, multiple=2)
    assert len(rows.token_ids) % 2 == 0
    found = {number: [] for number in range(34)}
    for row in range(len(rows.token_ids)):
        for source, target, number in zip(
            rows.sources[row], rows.targets[row], rows.sequences[row], strict=True
        ):
            if number == 34:
                continue
            item, side = divmod(int(number), 2)
            # what the source may read is the prompt and the completion so far
            segment = rows.segment_ids[row] == rows.segment_ids[row, source]
            branch = np.isin(rows.branches[row], [0, side + 1])
            before = rows.positions[row] <= rows.positions[row, source]
            read = rows.token_ids[row][segment & branch & before].tolist()
            assert read == items[item][0] + found[int(number)]
            found[int(number)].append(int(target))
    for number, tokens in found.items():
        assert tokens == items[number // 2][1 + number % 2]
    assert (rows.lengths == [[len(i[1]), len(i[2])] for i in items]).all()


def test_batches_of_real_lengths_have_few_shapes_and_little_padding():
    rng = np.random.default_rng(0)
    shapes, fills = set(), []
    for _ in range(100):
        lengths = np.minimum(rng.lognormal(4.3, 0.8, (32, 3)).astype(int) + 1, 250)
        items = [[[1] * n for n in item] for item in lengths]
        rows = pack(items, length=1024, multiple=1)
        shapes.add((rows.token_ids.shape, rows.sources.shape))
        fills.append(fill(rows))
    assert len(shapes) <= 8
    assert np.mean(fills) > 0.85


@pytest.mark.parametrize(
    ("items", "what"),
    [([[[], [1], [2]]], "prompt of record 0"), ([[[1], [1], []]], "completion 2 of")],
)
def test_an_empty_part_is_refused(items, what):
    for layout in (pack, pad):
        with pytest.raises(CorruptDataError, match=what):
            layout(items, length=8)


def test_items_of_different_kinds_are_refused():
    with pytest.raises(ValueError, match="different numbers of completions"):
        pack([[[1], [2]], [[1], [2], [3]]], length=8)
