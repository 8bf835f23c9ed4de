"""Tests of `rlaif_jax.sampling.select`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rlaif_jax.sampling.select import (
    Selection,
    keep_top_k,
    keep_top_p,
    select_tokens,
    warp,
)


def random_logits(rows=8, vocab=50):
    return 3.0 * jax.random.normal(jax.random.key(0), (rows, vocab))


def row_keys(num):
    return jax.random.split(jax.random.key(1), num)


def transformers_warp(logits, temperature, top_k, top_p):
    scores = torch.from_numpy(np.array(logits))
    warpers = [TemperatureLogitsWarper(temperature)]
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p < 1.0 else []
    for warper in warpers:
        scores = warper(None, scores)
    return scores.numpy()


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("top_k", [None, 1, 10, 99])
@pytest.mark.parametrize("top_p", [0.05, 0.9, 1.0])
def test_warped_logits_equal_those_of_transformers(temperature, top_k, top_p):
    logits = random_logits()

    ours = warp(logits, Selection(temperature=temperature, top_k=top_k, top_p=top_p))

    theirs = transformers_warp(logits, temperature, top_k, top_p)
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_ties_with_the_kth_are_kept_as_in_transformers():
    logits = jnp.array([[2.0, 1.0, 1.0, 1.0, 0.0]])

    kept = keep_top_k(logits, 2)

    np.testing.assert_array_equal(kept, [[2.0, 1.0, 1.0, 1.0, -np.inf]])
    np.testing.assert_array_equal(kept, transformers_warp(logits, 1.0, 2, 1.0))


def test_top_p_keeps_the_token_that_crosses_p_and_no_more():
    logits = jnp.log(jnp.array([[0.5, 0.3, 0.15, 0.05]]))

    # masses from the top: .5 .8 .95 1
    assert np.isfinite(keep_top_p(logits, 0.6)).tolist() == [[True, True, False, False]]
    assert np.isfinite(keep_top_p(logits, 0.9)).tolist() == [[True, True, True, False]]


def test_ties_at_the_edge_of_the_nucleus_are_all_kept():
    logits = jnp.log(jnp.array([[0.4, 0.2, 0.2, 0.2]]))

    assert np.isfinite(keep_top_p(logits, 0.5)).all()
    shuffled = jnp.log(jnp.array([[0.2, 0.4, 0.15, 0.25]]))
    assert np.isfinite(keep_top_p(shuffled, 0.3)).tolist() == [
        [False, True, False, False]
    ]


def test_the_most_likely_token_survives_any_filter():
    kept = keep_top_p(random_logits(), 1e-9)

    np.testing.assert_array_equal(
        np.isfinite(kept).argmax(axis=1), random_logits().argmax(axis=1)
    )
    assert (np.isfinite(kept).sum(axis=1) == 1).all()


def test_temperature_zero_takes_the_first_of_the_most_likely():
    logits = jnp.array([[0.0, 3.0, 3.0], [5.0, 1.0, 2.0]])

    chosen = select_tokens(logits, row_keys(2), Selection(temperature=0.0))

    assert chosen.tolist() == [1, 0]


def test_draws_follow_the_warped_probabilities():
    logits = jnp.log(jnp.array([0.6, 0.3, 0.1]))
    draws = select_tokens(
        jnp.tile(logits, (4000, 1)), row_keys(4000), Selection(top_k=2)
    )

    frequencies = np.bincount(draws, minlength=3) / 4000
    # 0.6 / 0.9 and 0.3 / 0.9; four standard errors are 0.03
    np.testing.assert_allclose(frequencies, [2 / 3, 1 / 3, 0.0], atol=0.03)


def test_a_row_draws_the_same_token_in_any_batch():
    logits, keys = random_logits(), row_keys(8)
    together = select_tokens(logits, keys, Selection())

    backwards = select_tokens(logits[::-1], keys[::-1], Selection())

    np.testing.assert_array_equal(together, backwards[::-1])


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_impossible_selections_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Selection(**wrong)
