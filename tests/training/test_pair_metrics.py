"""Tests of `rlaif_jax.training.pair_metrics`."""

import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.data.packing import Pair, pack
from rlaif_jax.losses import PairLengths, PreferenceTerms
from rlaif_jax.training.derived import MOMENTS, with_derived
from rlaif_jax.training.pair_metrics import reference_metrics, reward_metrics

DRAWS = np.random.default_rng(0)


def test_rewards_by_hand():
    terms = PreferenceTerms(
        jnp.zeros(4), jnp.array([1.0, 2.0, 3.0, 0.0]), jnp.array([0.5, 2.0, 4.0, 0.0])
    )
    lengths = PairLengths(jnp.array([3, 5, 2, 9]), jnp.array([1, 5, 6, 2]))
    metrics = {k: float(v) for k, v in reward_metrics(terms, lengths).items()}
    told = with_derived(metrics)
    # margins 0.5, 0, -1, 0 and length differences 2, 0, -4, 7
    expected = np.corrcoef([0.5, 0.0, -1.0, 0.0], [2, 0, -4, 7])[0, 1]
    assert told.pop("rewards/length_correlation") == pytest.approx(expected, rel=1e-5)
    assert told == {
        "rewards/chosen": 1.5,
        "rewards/rejected": 1.625,
        "rewards/margins": -0.125,
        "rewards/accuracies": 0.25,
        "rewards/ties": 0.5,
    }
    assert not set(MOMENTS) & set(told)


def test_ratios_are_means_over_completions_of_means_over_tokens():
    pairs = [Pair([4], [5, 6, 1], [7, 1]), Pair([4, 5], [1], [6, 7, 8, 1])]
    rows = pack(pairs, length=16)
    policy, reference = (
        np.where(rows.sequences < 4, DRAWS.normal(size=rows.sequences.shape), 0.0)
        for _ in range(2)
    )
    log_r = policy - reference
    metrics = reference_metrics(
        jnp.asarray(policy, jnp.float32), jnp.asarray(reference, jnp.float32), rows
    )
    for side, name in enumerate(("chosen", "rejected")):
        mine = [log_r[rows.sequences == 2 * pair + side] for pair in range(2)]
        expected = np.mean([np.mean(x) for x in mine])
        np.testing.assert_allclose(metrics[f"log_ratio/{name}"], expected, rtol=1e-5)
        k3 = np.mean([np.mean(np.exp(x) - 1 - x) for x in mine])
        np.testing.assert_allclose(metrics[f"kl_k3/{name}"], k3, rtol=1e-5)


def test_k3_over_the_reference_s_own_tokens_is_the_divergence():
    # every word as often as the reference says it: exact, not sampled
    counts, policy = np.array([1, 2, 5]), np.array([0.5, 0.2, 0.3])
    tokens = np.repeat(np.arange(3), counts)
    rows = pack([Pair([4], tokens + 5, tokens + 5)], length=24)
    words = np.where(rows.sequences < 2, rows.targets - 5, 0)
    is_real = rows.sequences < 2
    reference = counts / 8
    metrics = reference_metrics(
        jnp.asarray(np.where(is_real, np.log(policy)[words], 0.0), jnp.float32),
        jnp.asarray(np.where(is_real, np.log(reference)[words], 0.0), jnp.float32),
        rows,
    )
    divergence = np.sum(reference * np.log(reference / policy))
    np.testing.assert_allclose(metrics["kl_k3/chosen"], divergence, rtol=1e-5)


def test_a_token_that_the_reference_rules_out_does_not_overflow():
    rows = pack([Pair([4], [5], [6])], length=8)
    far = jnp.full(rows.sequences.shape, -1000.0)
    metrics = reference_metrics(jnp.zeros(rows.sequences.shape), far, rows)
    assert np.isfinite(float(metrics["kl_k3/chosen"]))
    assert metrics["log_ratio/rejected"] == 20.0
