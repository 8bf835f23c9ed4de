"""Tests of `rlaif_jax.training.failure` and of what `doctor` makes of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import GuardConfig, RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Example, PackedRows
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.errors import CorruptDataError, DivergedError, InternalError, UsageError
from rlaif_jax.training.failure import read_failed_step
from rlaif_jax.training.plan import finished_result
from rlaif_jax.training.sft import sft_objective, train_sft
from rlaif_jax.training.step import mean_gradients

POISON = 31
EXAMPLES = [Example([2 + i % 9, 3], [10 + i % 9, 1]) for i in range(20)]
EXAMPLES += [Example([4, POISON], [5, 1]) for _ in range(20)]


@dataclasses.dataclass(frozen=True)
class Allergic:
    """A loss that one token makes infinite."""

    loss_fn: object

    def __call__(self, params, rows):
        loss, metrics = self.loss_fn(params, rows)
        is_bad = (rows.token_ids == POISON).any()
        return jnp.where(is_bad, jnp.inf, loss), metrics


class InOrder(MemorySource):
    """Shards of four examples, so that the bad ones come last."""

    def num_shards(self):
        return 10, True

    def num_rows(self, shard):
        return 4

    def rows(self, shard):
        return EXAMPLES[4 * shard : 4 * shard + 4]


@pytest.fixture
def failed_run(start, plan, session):
    def go(where=None, **changes):
        where = where or session()
        with pytest.raises(InternalError) as caught:
            train_sft(
                start,
                InOrder(EXAMPLES, fingerprint="poisoned"),
                objective=Allergic(sft_objective(start.config, "sequence_sum")),
                layout=build_layout(RowsConfig(), length=8, num_devices=8),
                plan=plan(batch_size=4, guard=GuardConfig(max_in_a_row=3), **changes),
                session=where,
            )
        return where, str(caught.value)

    return go


@pytest.mark.parametrize("microbatches", [1, 2])
def test_the_last_step_is_kept_with_its_state_and_batch(
    failed_run, start, metrics_of, microbatches
):
    where, told = failed_run(microbatches=microbatches)
    assert "loss is inf and grad_norm" in told
    assert "at step 8, and 3 steps in a row" in told
    lines = metrics_of(where)
    assert [line["loss"] is None for line in lines] == [False] * 5 + [True] * 3
    assert [line["skipped"] for line in lines] == [0] * 5 + [1, 2, 3]

    step = read_failed_step(where.out / "failure")
    assert (step.number, step.metrics["loss"]) == (8, None)
    assert len(step.microbatches) == microbatches
    folder = store.open_folder(where.out / "failure")
    params = store.restore_params(folder)
    parts = [PackedRows(branches=None, **arrays) for arrays in step.microbatches]
    objective = sft_objective(start.config, "sequence_sum")
    again = jax.jit(mean_gradients, static_argnums=0)(objective, params, parts)
    np.testing.assert_allclose(
        again.metrics["logps/chosen"], step.metrics["logps/chosen"], rtol=1e-5
    )
    # the run's own checkpoints hold the weights of the last step that was taken
    own = store.restore_params(store.open_folder(where.out))
    jax.tree.map(np.testing.assert_array_equal, own, params)


def test_a_run_that_is_taken_up_again_fails_at_the_same_step(failed_run):
    where, first = failed_run()
    lines = (where.out / "metrics.jsonl").read_bytes()
    _, second = failed_run(where)
    assert second == first
    assert (where.out / "metrics.jsonl").read_bytes() == lines


def test_a_run_that_takes_no_step_is_not_done(start, plan, session):
    source = MemorySource(EXAMPLES[20:], fingerprint="poison")
    with pytest.raises(DivergedError, match="all 2 steps were skipped"):
        train_sft(
            start,
            source,
            objective=Allergic(sft_objective(start.config, "sequence_sum")),
            layout=build_layout(RowsConfig(), length=8, num_devices=8),
            plan=plan(batch_size=4, max_steps=2),
            session=session(),
        )
    assert finished_result(session().out) is None


def test_a_run_that_ends_on_skipped_steps_says_how_many(start, plan, session):
    result = train_sft(
        start,
        InOrder(EXAMPLES, fingerprint="poisoned"),
        objective=Allergic(sft_objective(start.config, "sequence_sum")),
        layout=build_layout(RowsConfig(), length=8, num_devices=8),
        plan=plan(batch_size=4, max_steps=7),
        session=session(),
    )
    assert (result.step, result.skipped) == (7, 2)
    assert np.isfinite(result.loss)
    assert finished_result(session().out) == result


def test_what_is_no_failed_step_is_refused(failed_run, tmp_path):
    with pytest.raises(UsageError, match="no failed step"):
        read_failed_step(tmp_path)
    where, _ = failed_run()
    arrays = where.out / "failure" / "batch-0.npz"
    arrays.write_bytes(arrays.read_bytes()[:100])
    with pytest.raises(CorruptDataError, match="holds no failed step"):
        read_failed_step(where.out / "failure")
