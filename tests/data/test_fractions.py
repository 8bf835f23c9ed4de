"""Tests of `rlaif_jax.data.fractions`."""

import pytest

from rlaif_jax.data.fractions import leading


@pytest.mark.parametrize(
    ("total", "fraction", "kept"), [(94145, 0.1, 9414), (10, 1.0, 10), (3, 0.3, 0)]
)
def test_a_fraction_is_rounded_down(total, fraction, kept):
    assert len(leading(range(total), fraction)) == kept
