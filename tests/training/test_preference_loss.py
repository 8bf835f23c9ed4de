"""Tests of `rlaif_jax.training.preference_loss`: every loss with every option."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from rlaif_jax.config_losses import LossConfig
from rlaif_jax.losses import PairLengths, PairLogps
from rlaif_jax.training.preference_loss import (
    PREFERENCE_LOSSES,
    PreferenceLoss,
    ScoredPairs,
)

NAMES = sorted(PREFERENCE_LOSSES)
FREE = {"reference_free", "simpo", "orpo"}
LOG_2 = math.log(2)


def build(name, **options):
    config = TypeAdapter(LossConfig).validate_python({"name": name} | options)
    return PreferenceLoss(config)


def scored(chosen, rejected, dtype=jnp.float32):
    """Pairs of any log-probabilities under a policy, near -6 under the reference."""
    count = len(chosen)
    reference = jnp.linspace(-6.0, -5.0, count, dtype=dtype)
    return ScoredPairs(
        PairLogps(jnp.array(chosen, dtype), jnp.array(rejected, dtype)),
        PairLengths(jnp.arange(count) + 2, jnp.arange(count) % 3 + 3),
        PairLogps(reference, reference - 0.5),
    )


PAIRS = ([-3.0, -7.0, -5.5, -12.0], [-4.0, -5.0, -6.5, -4.5])


def total(loss, pairs):
    value = loss.terms(pairs).loss.sum()
    sft = loss.sft_term(pairs)
    return value if sft is None else value + sft.sum()


@pytest.fixture
def double_pair():
    with jax.enable_x64(True):
        yield ScoredPairs(
            PairLogps(jnp.array([-10.0]), jnp.array([-12.0])),
            PairLengths(jnp.array([4]), jnp.array([6])),
            PairLogps(jnp.array([-11.0]), jnp.array([-11.5])),
        )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    with jax.enable_x64(True):
        loss = build(name) if name == "orpo" else build(name, beta=0.3)
        pairs = scored(*PAIRS, dtype=jnp.float64)

        def value(policy):
            return total(loss, pairs._replace(policy=policy))

        grads = jax.grad(value)(pairs.policy)
        for side in ("chosen", "rejected"):
            for i in range(len(PAIRS[0])):
                step = jnp.zeros(len(PAIRS[0])).at[i].set(1e-6)
                logps = getattr(pairs.policy, side)
                up, down = (
                    value(pairs.policy._replace(**{side: logps + way * step}))
                    for way in (1, -1)
                )
                expected = pytest.approx(float(up - down) / 2e-6, rel=1e-6, abs=1e-8)
                assert float(getattr(grads, side)[i]) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chosen", [-1e4, -1.0, 0.0])
@pytest.mark.parametrize("rejected", [-1e4, -1.0, 0.0])
def test_finite_at_extremes_and_in_float32(name, chosen, rejected):
    loss = build(name) if name == "orpo" else build(name, beta=1.0)
    pairs = scored([chosen], [rejected])

    def value(policy):
        terms = loss.terms(pairs._replace(policy=policy))
        assert all(part.dtype == jnp.float32 for part in terms)
        return terms.loss.sum()

    found, grads = jax.value_and_grad(value)(pairs.policy)
    assert np.isfinite(found)
    assert np.isfinite(np.stack(grads)).all()


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_reaches_the_reference(name):
    loss, pairs = build(name), scored(*PAIRS)

    def value(reference):
        return total(loss, pairs._replace(reference=reference))

    np.testing.assert_array_equal(np.stack(jax.grad(value)(pairs.reference)), 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_one_value_a_pair_that_other_pairs_do_not_change(name):
    loss, pairs = build(name), scored(*PAIRS)
    together = loss.terms(pairs)
    for i in range(len(PAIRS[0])):
        alone = loss.terms(jax.tree.map(lambda part, i=i: part[i : i + 1], pairs))
        parts = zip(alone, together, strict=True)
        for one, all_ in parts:
            np.testing.assert_allclose(one[0], all_[i], rtol=1e-6)


@pytest.mark.parametrize("name", sorted({*NAMES} - FREE))
def test_the_first_loss_is_the_same_wherever_the_policy_is_the_reference(name):
    loss, pairs = build(name), scored(*PAIRS)
    terms = loss.terms(pairs._replace(reference=pairs.policy))
    np.testing.assert_allclose(terms.loss, loss.start, rtol=1e-6)
    np.testing.assert_array_equal(terms.margin, 0.0)


@pytest.mark.parametrize(
    ("name", "options", "start"),
    [
        ("dpo", {"beta": 0.1, "label_smoothing": 0.2}, LOG_2),
        ("robust", {"label_smoothing": 0.2}, LOG_2),
        ("cdpo_over_beta", {"beta": 0.1}, 10 * LOG_2),
        ("hinge", {}, 1.0),
        ("ipo_sum", {"beta": 0.1}, 25.0),
        ("ipo_mean", {"beta": 0.5}, 1.0),
        ("sigmoid_norm", {}, LOG_2),
        ("exo_pair", {"label_smoothing": 0.2}, 0.5 * math.log(0.25 / 0.16)),
        ("nca_pair", {}, 2 * LOG_2),
        ("bco_pair", {}, 2 * LOG_2),
        ("sppo_hard", {"beta": 0.1}, 50.0),
        ("apo_zero", {}, 1.0),
        ("apo_down", {}, 1.0),
    ],
)
def test_the_first_loss_in_figures(name, options, start):
    assert build(name, **options).start == pytest.approx(start, rel=1e-6)


@pytest.mark.parametrize("name", sorted(FREE))
def test_without_a_reference_none_is_needed_and_no_first_loss_is_known(name):
    loss, pairs = build(name), scored(*PAIRS)
    assert not loss.needs_reference
    assert loss.start is None
    with_it, without = loss.terms(pairs), loss.terms(pairs._replace(reference=None))
    np.testing.assert_array_equal(np.stack(with_it), np.stack(without))


def test_beta_is_told_of_losses_of_whole_completions_only():
    told = {name for name in NAMES if build(name).beta is not None}
    assert {*NAMES} - told == FREE | {"ipo_mean", "sigmoid_norm"}
    for name in told:
        terms = build(name, beta=0.2).terms(pairs := scored(*PAIRS))
        ratios = pairs.policy.chosen - pairs.reference.chosen
        np.testing.assert_allclose(terms.chosen_reward, 0.2 * ratios, rtol=1e-5)


def test_the_term_of_rpo_and_that_of_the_paper(double_pair):
    options = {"beta": 0.05, "sft": {"weight": 0.01, "loss": "sequence_sum"}}
    assert float(total(build("dpo", **options), double_pair)) == pytest.approx(
        0.75635014, rel=1e-8
    )
    options["sft"]["loss"] = "token_mean"  # 0.01 * 10 / 4 on 0.65635014
    assert float(total(build("dpo", **options), double_pair)) == pytest.approx(
        0.68135014, rel=1e-8
    )


def test_the_importance_weight_of_the_paper_leaves_the_term_alone(double_pair):
    options = {"beta": 0.05, "max_importance_weight": 100.0}
    weighted = float(total(build("dpo", **options), double_pair))
    assert weighted == pytest.approx(0.39809648, rel=1e-7)
    options["sft"] = {"weight": 0.01, "loss": "sequence_sum"}
    both = float(total(build("dpo", **options), double_pair))
    assert both == pytest.approx(weighted + 0.1, rel=1e-12)
