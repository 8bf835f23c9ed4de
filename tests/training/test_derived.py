"""Tests of `rlaif_jax.training.derived`."""

import math

import numpy as np
import pytest

from rlaif_jax.training.derived import MOMENTS, with_derived


def moments(margins, lengths):
    products = (margins, lengths, margins**2, lengths**2, margins * lengths)
    return [float(np.mean(product)) for product in products]


def test_parts_of_a_batch_give_the_perplexity_of_the_whole():
    nll = np.array([0.5, 2.5, 1.0, 4.0])
    parts = [nll[:2].mean(), nll[2:].mean()]
    told = with_derived({"nll/chosen": float(np.mean(parts))})
    assert told == {"nll/chosen": 2.0, "ppl/chosen": math.exp(2.0)}
    assert math.isfinite(with_derived({"nll/chosen": 1e6})["ppl/chosen"])


def test_parts_of_a_batch_give_the_correlation_of_the_whole():
    draws = np.random.default_rng(0)
    lengths = draws.integers(-200, 200, 12).astype(float)
    margins = 0.01 * lengths + draws.normal(size=12)
    parts = [moments(margins[i : i + 4], lengths[i : i + 4]) for i in (0, 4, 8)]
    metrics = dict(zip(MOMENTS, np.mean(parts, axis=0), strict=True))
    told = with_derived({"loss": 1.0} | metrics)
    expected = np.corrcoef(margins, lengths)[0, 1]
    assert told == {
        "loss": 1.0,
        "rewards/length_correlation": pytest.approx(expected, rel=1e-9),
    }


@pytest.mark.parametrize("margins", [np.zeros(4), np.full(4, 0.3)])
def test_nothing_correlates_with_what_does_not_vary(margins):
    lengths = np.array([1.0, -2.0, 3.0, 4.0])
    for one, other in ((margins, lengths), (lengths, margins)):
        metrics = dict(zip(MOMENTS, moments(one, other), strict=True))
        assert with_derived(metrics)["rewards/length_correlation"] == 0.0
