"""Tests of `rlaif_jax.training.guard`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_parts import GuardConfig
from rlaif_jax.training.guard import GuardState, judge

DRAWS = np.random.default_rng(0).normal(size=(300, 2)) * 0.1 + [1.0, 5.0]


def judged(config, rows):
    """Which of a run's steps are taken."""
    decide = jax.jit(lambda state, row: judge(config, state, row[0], row[1]))
    state, taken = GuardState.fresh(), []
    for row in rows.astype(np.float32):
        verdict = decide(state, row)
        state = verdict.state
        taken.append(bool(verdict.is_taken))
    return np.array(taken), state


def spikes_by_hand(rows, deviations):
    """The rule in NumPy, over lists."""
    kept, taken = [], []
    for row in rows:
        recent = np.array(kept[-128:])
        far = (
            len(kept) >= 64
            and (row > recent.mean(0) + deviations * recent.std(0)).any()
        )
        taken.append(not far)
        if not far:
            kept.append(row)
    return np.array(taken)


def test_spikes_are_those_far_above_the_steps_before():
    rows = DRAWS.copy()
    rows[200, 0], rows[250, 1], rows[20, 0] = 3.0, 9.0, 3.0  # step 20 is too early
    taken, state = judged(GuardConfig(spike_deviations=6.0), rows)
    np.testing.assert_array_equal(taken, spikes_by_hand(rows, 6.0))
    assert np.flatnonzero(~taken).tolist() == [200, 250]
    assert (int(state.taken), int(state.skipped)) == (298, 2)


def test_a_low_bar_agrees_with_the_rule_by_hand():
    taken, _ = judged(GuardConfig(spike_deviations=1.5, max_in_a_row=99), DRAWS)
    np.testing.assert_array_equal(taken, spikes_by_hand(DRAWS, 1.5))
    assert 5 < (~taken).sum() < 100


@pytest.mark.parametrize("deviations", [None, 6.0])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_taken_nor_remembered(deviations, value):
    rows = DRAWS[:100].copy()
    rows[70, 1] = value
    taken, state = judged(GuardConfig(spike_deviations=deviations), rows)
    assert np.flatnonzero(~taken).tolist() == [70]
    assert jnp.isfinite(state.recent).all()


def test_without_a_bar_no_finite_step_is_skipped():
    rows = DRAWS.copy()
    rows[200] = 1e30
    assert judged(GuardConfig(), rows)[0].all()
