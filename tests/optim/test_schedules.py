"""Tests of `rlaif_jax.optim.schedules`."""

import numpy as np
import pytest

from rlaif_jax.config_parts import AdamWConfig, RmspropConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.optim.schedules import build_schedule


def rates(config, total_steps, count):
    schedule = build_schedule(config, total_steps)
    return [float(schedule(step)) for step in range(count)]


def test_warmup_is_the_papers():
    config = RmspropConfig(learning_rate=1.0, warmup_steps=3)
    np.testing.assert_allclose(rates(config, None, 6), [0.25, 0.5, 0.75, 1, 1, 1])


def test_constant_without_warmup_starts_at_its_rate():
    np.testing.assert_allclose(rates(AdamWConfig(learning_rate=2.0), None, 3), 2.0)


def test_linear_reaches_its_end_fraction_and_stays():
    config = AdamWConfig(learning_rate=1.0, schedule="linear", end_fraction=0.2)
    # 1 - 0.8 * step / 4
    expected = [1.0, 0.8, 0.6, 0.4, 0.2, 0.2]
    np.testing.assert_allclose(rates(config, 4, 6), expected, rtol=1e-6)


def test_cosine_is_half_way_in_the_middle():
    config = AdamWConfig(learning_rate=1.0, schedule="cosine", end_fraction=0.5)
    values = rates(config, 4, 5)
    np.testing.assert_allclose(values[::2], [1.0, 0.75, 0.5], rtol=1e-6)


def test_decay_counts_from_the_end_of_the_warmup():
    config = AdamWConfig(
        learning_rate=1.0, schedule="linear", end_fraction=0.0, warmup_steps=1
    )
    np.testing.assert_allclose(rates(config, 5, 6), [0.5, 1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_decay_without_an_end_is_refused(schedule):
    config = AdamWConfig(learning_rate=1.0, schedule=schedule)
    with pytest.raises(UsageError, match=f"schedule={schedule}.*max_steps"):
        build_schedule(config, None)


def test_a_warmup_as_long_as_the_run_is_refused():
    config = AdamWConfig(learning_rate=1.0, schedule="linear", warmup_steps=4)
    with pytest.raises(UsageError, match="warmup_steps=4 leaves nothing of 4"):
        build_schedule(config, 4)
