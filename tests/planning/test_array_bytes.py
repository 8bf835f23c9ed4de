"""Tests of `rlaif_jax.planning.array_bytes`."""

import jax.numpy as jnp

from rlaif_jax.planning.array_bytes import bytes_here, wide_bytes, widened_bytes


def test_only_arrays_of_fewer_bits_are_widened():
    tree = {"narrow": jnp.zeros((3, 4), "bfloat16"), "exact": jnp.zeros(5)}
    assert bytes_here(tree) == 24 + 20
    assert wide_bytes(tree) == 48 + 20
    assert widened_bytes(tree) == 48
