"""Tests of `rlaif_jax.models.attending.dense`."""

import jax
import numpy as np
import pytest

from rlaif_jax.models.attending import dense
from rlaif_jax.models.attending.rule import Rule


@pytest.mark.parametrize("softcap", [None, 1.5])
def test_matches_a_loop_over_heads_and_queries(heads_of, rows_of, softcap):
    heads, rule = heads_of(2, groups=2, length=6), Rule(0.25, softcap, 4)
    places = rows_of([6], [2, 3], length=6)
    mask = dense.prepare(places, rule)
    q, k, v = (np.asarray(part, np.float64) for part in heads)
    expected = np.zeros(q.shape)
    for b, t, n, g in np.ndindex(2, 6, 2, 2):
        keys = np.flatnonzero(mask[b, t])
        scores = k[b, keys, n] @ q[b, t, n, g] * 0.25
        if softcap:
            scores = softcap * np.tanh(scores / softcap)
        scores = np.exp(scores)
        expected[b, t, n, g] = scores / scores.sum() @ v[b, keys, n]
    np.testing.assert_allclose(
        dense.read(heads, mask, rule), expected, rtol=1e-4, atol=1e-5
    )


def test_gradients_stay_finite_under_the_mask(heads_of, rows_of):
    heads, rule = heads_of(1, groups=2, length=6), Rule(100.0, None, None)
    mask = dense.prepare(rows_of([2, 3], length=6), rule)
    grads = jax.grad(lambda heads: dense.read(heads, mask, rule).sum())(heads)
    assert all(np.isfinite(part).all() for part in grads)
