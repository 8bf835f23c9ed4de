"""Tests of `rlaif_jax.optim.matrices`."""

import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.optim.matrices import Sides, matrix_sides, root_mean_square


@pytest.mark.parametrize(
    "axes, sides",
    [
        (("layers", "embed", "kv_heads", "q_groups", "head_dim"), ((1,), (2, 3, 4))),
        (("layers", "kv_heads", "q_groups", "head_dim", "embed"), ((4,), (1, 2, 3))),
        (("layers", "experts", "embed", "ffw"), ((2,), (3,))),
        (("vocab", "embed"), ((1,), (0,))),
        (("layers", "embed", "lora"), ((1,), (2,))),
        (("layers", "lora", "kv_heads", "head_dim"), ((1,), (2, 3))),
        (("layers", "embed"), None),
        (("layers", "kv_heads", "head_dim"), None),
        (("embed",), None),
    ],
)
def test_sides_follow_from_names(axes, sides):
    expected = None if sides is None else Sides(*sides)
    assert matrix_sides(axes, (16,) * len(axes), 16) == expected


def test_small_sides_make_no_matrix():
    axes = ("layers", "embed", "kv_heads", "head_dim")
    assert matrix_sides(axes, (64, 8, 2, 4), 8) is not None
    assert matrix_sides(axes, (64, 8, 2, 3), 8) is None
    assert matrix_sides(axes, (64, 7, 2, 4), 8) is None


def test_root_mean_square_is_of_each_layer():
    values = jnp.array([[[3.0, 4.0]], [[0.0, 2.0]]])
    found = root_mean_square(values, ("layers", "embed", "ffw"))
    # the roots of (9 + 16) / 2 and of 4 / 2
    np.testing.assert_allclose(found[:, 0, 0], [12.5**0.5, 2**0.5], rtol=1e-6)
