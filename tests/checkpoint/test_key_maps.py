"""Tests of `rlaif_jax.checkpoint.key_maps`."""

import jax
import numpy as np
import pytest

from rlaif_jax.checkpoint.key_maps import KEY_MAPS, Entry, key_map
from rlaif_jax.models import abstract_params, preset
from rlaif_jax.models.registry import PRESETS

# two inputs; per layer one key/value head of two query heads of width 2
Q = Entry(("q",), "q", 1)
OUT = Entry(("o",), "o", 3)


def test_a_projection_into_heads_by_hand():
    theirs = np.array([[1, 2], [3, 4], [5, 6], [7, 8]])  # [outputs, inputs]
    ours = Q.to_ours(theirs, (2, 1, 2, 2))
    np.testing.assert_array_equal(ours[0, 0], [[1, 3], [5, 7]])
    np.testing.assert_array_equal(ours[1, 0], [[2, 4], [6, 8]])


def test_a_projection_out_of_heads_by_hand():
    theirs = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])  # [outputs, inputs]
    ours = OUT.to_ours(theirs, (1, 2, 2, 2))
    np.testing.assert_array_equal(ours[0, 0], [[1, 5], [2, 6]])
    np.testing.assert_array_equal(ours[0, 1], [[3, 7], [4, 8]])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", KEY_MAPS)
def test_every_parameter_has_one_tensor_that_maps_back(family, tied):
    config = preset("llama-tiny").replace(family=family, tie_embeddings=tied)
    shapes = abstract_params(config)
    entries = key_map(family, tie_embeddings=tied)
    assert len({entry.name for entry in entries}) == len(entries)
    assert {entry.path for entry in entries} == {
        tuple(key.key for key in path) for path, _ in jax.tree.leaves_with_path(shapes)
    }
    for entry in entries:
        leaf = shapes
        for key in entry.path:
            leaf = leaf[key]
        assert entry.is_stacked == (entry.path[0] == "layers")
        shape = leaf.shape[1:] if entry.is_stacked else leaf.shape
        ours = np.arange(np.prod(shape)).reshape(shape)
        theirs = entry.to_theirs(ours)
        assert theirs.shape == entry.tensor_shape(shape)
        np.testing.assert_array_equal(entry.to_ours(theirs, shape), ours)


def test_every_family_with_a_preset_has_a_table():
    assert {config.family for config in PRESETS.values()} <= KEY_MAPS.keys()
