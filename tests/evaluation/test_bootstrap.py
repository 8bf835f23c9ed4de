"""Tests of `rlaif_jax.evaluation.bootstrap`."""

import numpy as np
import pytest

from rlaif_jax.evaluation.bootstrap import bootstrap
from rlaif_jax.evaluation.random_effects import (
    contrast_interval,
    seed_spread,
    variance_parts,
)


def analytic(d):
    parts = variance_parts(d[None])
    found = contrast_interval(parts, seed_spread([parts]))
    return 100 * float(found.low[0]), 100 * float(found.high[0])


def test_equal_input_gives_equal_digits():
    d = np.random.default_rng(1).choice([-1.0, 0.0, 0.5, 1.0], (3, 70))
    assert bootstrap(d) == bootstrap(d.copy())
    assert bootstrap(d) != bootstrap(d, random_seed=1)


def test_what_never_varies_has_no_width():
    found = bootstrap(np.full((2, 10), 0.5), resamples=501)
    assert (found.low, found.high, found.resamples) == pytest.approx((50, 50, 501))


def test_of_one_seed_it_is_the_analytic_interval(simulated_studies):
    a, b = simulated_studies([0.7, 0.6], seeds=1, prompts=400, studies=1)
    found = bootstrap((a - b)[0], resamples=10_000)
    assert (found.low, found.high) == pytest.approx(analytic((a - b)[0]), abs=0.4)


def test_of_many_seeds_that_dominate_it_is_the_analytic_interval(simulated_studies):
    model = {"seeds": 30, "prompts": 100, "spread": 0.15, "studies": 1}
    a, b = simulated_studies([0.5, 0.5], **model)
    found, known = bootstrap((a - b)[0], resamples=10_000), analytic((a - b)[0])
    width = known[1] - known[0]
    assert found.high - found.low == pytest.approx(width, rel=0.12)
