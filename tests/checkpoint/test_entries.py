"""Tests of `rlaif_jax.checkpoint.entries`."""

import math

import jax
import numpy as np
import pytest

from rlaif_jax.checkpoint.entries import Entry, Part
from rlaif_jax.checkpoint.families import FAMILIES
from rlaif_jax.models import abstract_params, preset
from rlaif_jax.models.registry import PRESETS

# two inputs; per layer one key/value head of two query heads of width 2
Q = Entry(("q",), "q", 1)
OUT = Entry(("o",), "o", 3)
SMALLEST = {
    family: min(
        (name for name, config in PRESETS.items() if config.family == family),
        key=lambda name: PRESETS[name].embed,
    )
    for family in FAMILIES
}


def block(entry, tensor, bounds, shape):
    """What a device with these bounds gets, reading no more than it must."""
    region = entry.region(bounds, shape)
    return entry.to_ours(tensor[region.slices], region)


def whole(entry, tensor, shape):
    return block(entry, tensor, tuple((0, size) for size in shape), shape)


def test_a_projection_into_heads_by_hand():
    theirs = np.array([[1, 2], [3, 4], [5, 6], [7, 8]])  # [outputs, inputs]
    ours = whole(Q, theirs, (2, 1, 2, 2))
    np.testing.assert_array_equal(ours[0, 0], [[1, 3], [5, 7]])
    np.testing.assert_array_equal(ours[1, 0], [[2, 4], [6, 8]])


def test_a_projection_out_of_heads_by_hand():
    theirs = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])  # [outputs, inputs]
    ours = whole(OUT, theirs, (1, 2, 2, 2))
    np.testing.assert_array_equal(ours[0, 0], [[1, 5], [2, 6]])
    np.testing.assert_array_equal(ours[0, 1], [[3, 7], [4, 8]])


def test_interleaved_parts_by_hand():
    # one input; two heads, each with its query, key and value, of width 1
    theirs = np.array([[1], [2], [3], [4], [5], [6]])
    for index in range(3):
        entry = Entry(("k",), "qkv", 1, part=Part(axis=2, index=index, count=3))
        ours = whole(entry, theirs, (1, 2, 1))
        np.testing.assert_array_equal(ours[0, :, 0], [1 + index, 4 + index])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_has_tensors_that_map_back(family):
    config = preset(SMALLEST[family]).replace(num_layers=2, vocab_size=64)
    if config.positions == "learned":
        config = config.replace(max_positions=16)
    config = config.replace(embed=16, kv_heads=2, head_dim=8, ffw=12)
    for tied in (False, True):
        _require_a_round_trip(config.replace(tie_embeddings=tied))


def _require_a_round_trip(config):
    shapes = abstract_params(config)
    entries = FAMILIES[config.family].entries(config)
    assert {entry.path for entry in entries} == {
        tuple(key.key for key in path) for path, _ in jax.tree.leaves_with_path(shapes)
    }
    assert len({entry.path for entry in entries}) == len(entries)
    sharing = {}
    for entry in entries:
        sharing.setdefault(entry.name, []).append(entry)
    for sharers in sharing.values():
        sharers.sort(key=lambda entry: entry.part.index if entry.part else 0)
        first = sharers[0]
        assert len(sharers) == (first.part.count if first.part else 1)
        arrays = [_numbered(shapes, entry) for entry in sharers]
        theirs = [e.to_theirs(a) for e, a in zip(sharers, arrays, strict=True)]
        tensor = first.joined(theirs, arrays[0].shape) if first.part else theirs[0]
        assert tensor.shape == first.tensor_shape(arrays[0].shape)
        for entry, array in zip(sharers, arrays, strict=True):
            np.testing.assert_array_equal(whole(entry, tensor, array.shape), array)


def _numbered(shapes, entry):
    leaf = shapes
    for key in entry.path:
        leaf = leaf[key]
    expected = (entry.path[0] == "layers") + ("{expert}" in entry.name)
    assert entry.num_stacked == expected
    shape = leaf.shape[entry.num_stacked :]
    start = 1000 * (entry.part.index if entry.part else 0)
    return start + np.arange(math.prod(shape)).reshape(shape)


@pytest.mark.parametrize(
    ("entry", "shape"),
    [
        (Entry(("e",), "e"), (6, 4)),
        (Entry(("b",), "b", 0), (4, 2, 3)),
        (Entry(("q",), "q", 1), (6, 4, 2, 3)),
        (Entry(("o",), "o", 3), (4, 2, 3, 6)),
        (Entry(("up",), "up", 1, is_transposed=False), (6, 8)),
        (Entry(("q",), "f", 1, part=Part(axis=3, index=1, count=3)), (6, 4, 1, 2)),
        (Entry(("k",), "f", 1, part=Part(axis=2, index=2, count=3)), (6, 4, 2)),
        (Entry(("v",), "f", 1, False, part=Part(axis=1, index=2, count=3)), (6, 4, 2)),
        (Entry(("b",), "f", 0, part=Part(axis=0, index=1, count=3)), (4, 2)),
    ],
)
def test_a_block_is_read_alone(entry, shape):
    tensor = np.random.default_rng(0).normal(size=entry.tensor_shape(shape))
    expected = whole(entry, tensor, shape)
    for axis, size in enumerate(shape):
        for start in range(size - size // 2 + 1):
            bounds = [(0, n) for n in shape]
            bounds[axis] = (start, start + size // 2 or 1)
            if bounds[axis][1] > size:
                continue
            part = block(entry, tensor, tuple(bounds), shape)
            place = tuple(slice(*b) for b in bounds)
            np.testing.assert_array_equal(part, expected[place])


def test_a_device_reads_only_its_rows_and_columns():
    q = Entry(("q",), "q", 1)
    region = q.region(((2, 4), (1, 2), (0, 2), (0, 3)), (6, 4, 2, 3))
    assert region.slices == (slice(6, 12), slice(2, 4))
    fused = Entry(("k",), "f", 1, False, part=Part(axis=1, index=1, count=3))
    region = fused.region(((0, 6), (0, 2), (0, 2)), (6, 4, 2))
    assert region.slices == (slice(0, 6), slice(8, 12))
