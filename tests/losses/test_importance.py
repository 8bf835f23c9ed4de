"""Tests of `rlaif_jax.losses.importance`."""

import jax
import numpy as np
import pytest

from rlaif_jax.losses import dpo_loss, importance_weight


def test_is_the_ratio_of_the_rejected_up_to_its_bound(pair):
    start = pair(0.0, -12.0)
    for logp, weight in ((-12.5, np.exp(-0.5)), (-12.0, 1.0), (-10.0, 5.0), (1e4, 5.0)):
        found = importance_weight(pair(-1.0, logp), start, max_weight=5.0)
        np.testing.assert_allclose(found, [weight], rtol=1e-6)


def test_agrees_with_the_code_of_the_paper(double, pair):
    policy, reference = pair(-10.0, -12.0), pair(-11.0, -11.5)
    loss = dpo_loss(policy, reference, beta=0.05).loss
    weight = importance_weight(policy, reference, max_weight=100.0)
    assert float((weight * loss)[0]) == pytest.approx(0.39809648, rel=1e-7)


def test_no_gradient_flows_through_it(pair):
    def total(policy, reference):
        return importance_weight(policy, reference, max_weight=9.0).sum()

    grads = jax.grad(total, argnums=(0, 1))(pair(-1.0, -2.0), pair(-1.5, -2.5))
    np.testing.assert_array_equal(np.stack(jax.tree.leaves(grads)), 0.0)
