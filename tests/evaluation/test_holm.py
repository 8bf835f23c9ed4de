"""Tests of `rlaif_jax.evaluation.holm`."""

import pytest

from rlaif_jax.evaluation.holm import holm


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        # .01 * 4; .02 * 3; .03 * 2 no smaller than the last; .04 * 1 likewise
        ([0.01, 0.04, 0.03, 0.02], [0.04, 0.06, 0.06, 0.06]),
        ([0.3, 0.01], [0.3, 0.02]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)
