"""Tests of `rlaif_jax.models.precision`."""

import jax
import jax.numpy as jnp
import pytest

from rlaif_jax.models.precision import wide


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_sums_are_in_float32_at_least(dtype):
    assert wide(dtype) == jnp.float32


def test_what_is_wider_stays_so():
    with jax.enable_x64(True):
        assert wide("float64") == jnp.float64
