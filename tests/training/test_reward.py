"""Tests of `rlaif_jax.training.reward`."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Pair
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.errors import PreemptedError
from rlaif_jax.models import reward_model
from rlaif_jax.records import Preference
from rlaif_jax.training.pairs import PairRows
from rlaif_jax.training.reward import RewardObjective, train_reward

RECORDS = [Preference.model_construct(pair_id=str(n)) for n in range(20)]


def to_pair(record):
    """The chosen completion says 2, the rejected one 3, after any prompt."""
    n = int(record.pair_id)
    return Pair([4 + n], [2] * (1 + n % 3) + [1], [3] * (1 + n % 2) + [1])


ROWS = PairRows(
    to_pair=to_pair, layout=build_layout(RowsConfig(), length=16, num_devices=8)
)


@pytest.fixture
def run(start, plan, tiny, params):
    config, with_head = reward_model(tiny, params)
    start = dataclasses.replace(start, config=config, load=lambda: with_head)

    def go(session, **changes):
        return train_reward(
            start,
            MemorySource(RECORDS, fingerprint="pairs"),
            encoding=ROWS,
            objective=RewardObjective(config),
            plan=plan(**changes),
            session=session,
        )

    return go


def test_the_first_loss_is_log_2_and_then_it_falls(run, session, metrics_of):
    result = run(where := session(), epochs=10)
    first, *_, last = metrics_of(where)
    assert result.step == last["step"] == 25
    assert first["loss"] == pytest.approx(math.log(2), rel=1e-6)
    assert first["rewards/accuracies"] == 0.0  # equal rewards are wrong
    assert last["loss"] < 0.1
    assert last["rewards/accuracies"] == 1.0
    margin = last["rewards/chosen"] - last["rewards/rejected"]
    assert last["rewards/margins"] == pytest.approx(margin, rel=1e-5)


def test_eight_devices_train_as_one(run, session, eight_devices, metrics_of):
    alone, together = session("alone"), session("together", mesh=eight_devices)
    run(alone)
    run(together)
    for one, other in zip(metrics_of(alone), metrics_of(together), strict=True):
        # a covariance is a small difference of two means, of which digits are lost
        loose = [x.pop("rewards/length_correlation") for x in (one, other)]
        assert loose[1] == pytest.approx(loose[0], abs=1e-4)
        assert other == pytest.approx(one, rel=1e-5, abs=1e-5)


def test_a_run_that_is_stopped_and_resumed_equals_an_unbroken_one(run, session):
    run(whole := session("whole"))
    with pytest.raises(PreemptedError):
        run(session("broken", stop=lambda done: done == 3))
    run(broken := session("broken"))
    ours, theirs = (store.open_folder(one.out) for one in (whole, broken))
    assert ours.config.head == theirs.config.head == "reward"
    restored = [store.restore_params(folder) for folder in (ours, theirs)]
    jax.tree.map(np.testing.assert_array_equal, *restored)
    assert np.abs(restored[0]["reward_head"]).max() > 0
