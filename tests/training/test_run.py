"""Tests of `rlaif_jax.training.run` and `.plan`, on supervised fine-tuning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import AdafactorConfig, AdamWConfig, RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Example
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.errors import CorruptDataError, InternalError, PreemptedError, UsageError
from rlaif_jax.files import read_json
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.training.batches import place_rows
from rlaif_jax.training.memory_plan import MemoryPlan
from rlaif_jax.training.plan import StartModel, finished_result
from rlaif_jax.training.run import Task, train
from rlaif_jax.training.sft import sft_objective

DRAWS = np.random.default_rng(0)
EXAMPLES = [
    Example(DRAWS.integers(2, 32, 4).tolist(), [*[7, 8, 9][: 1 + i % 3], 1])
    for i in range(20)
]  # 2 epochs of 20 are 5 batches of 8
SOURCE = MemorySource(EXAMPLES, fingerprint="examples")


@pytest.fixture
def run(start, plan):
    """Trains in a session; returns the result."""

    def go(session, *, source=SOURCE, start=start, **changes):
        devices = batch_divisor(session.mesh)
        layout = build_layout(RowsConfig(), length=8, num_devices=devices)

        def load(parts):
            return [place_rows(rows, session.mesh) for rows in layout.parts(parts)]

        task = Task(sft_objective(start.config, "sequence_sum"), load)
        return train(start, source, task=task, plan=plan(**changes), session=session)

    return go


def saved_params(session):
    return store.restore_params(store.open_folder(session.out))


def assert_same_run(one, other):
    metrics = [(run.out / "metrics.jsonl").read_bytes() for run in (one, other)]
    assert metrics[0] == metrics[1]
    jax.tree.map(np.testing.assert_array_equal, saved_params(one), saved_params(other))


def test_a_run_ends_with_a_checkpoint_and_its_result(run, session):
    where = session()
    result = run(where)
    assert result.step == 5
    assert result.checkpoint == str(where.out / "checkpoints" / "5")
    assert result.examples_per_second > 0
    assert finished_result(where.out) == result
    assert [path.name for path in sorted((where.out / "checkpoints").iterdir())] == [
        "4",
        "5",
    ]


def test_a_run_tells_what_memory_it_takes(run, session):
    said = []
    where = session(say=said.append)
    run(where, max_steps=1)
    plan = read_json(where.out / "memory.json", "plan")
    assert said == [MemoryPlan.from_json(plan).table()]
    expected = 2 * plan["weights"] + 2 * 128 * 4  # of AdamW, and what the guard recalls
    assert plan["optimizer"] == pytest.approx(expected, rel=0.01)


def test_max_steps_ends_a_run_early(run, session):
    assert run(session(), max_steps=3).step == 3


def test_progress_knows_the_total(run, session):
    seen = []
    run(session(progress=lambda step, total, _: seen.append((step, total))))
    assert seen == [(step, 5) for step in range(1, 6)]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_run_that_is_stopped_and_resumed_equals_an_unbroken_one(run, session, step):
    whole, broken = session("whole"), session("broken")
    run(whole)
    with pytest.raises(PreemptedError, match=f"step {step}.*same command again"):
        run(session("broken", stop=lambda done: done == step))
    assert finished_result(broken.out) is None
    assert run(broken).step == 5
    assert_same_run(whole, broken)


@pytest.mark.parametrize(
    "optimizer",
    [
        AdamWConfig(learning_rate=0.02, weights="bfloat16", moments="int8"),
        AdafactorConfig(learning_rate=0.02, weights="bfloat16", min_factored=8),
    ],
    ids=lambda config: config.name,
)
def test_rounding_goes_on_as_if_a_run_had_not_been_stopped(
    run, session, metrics_of, optimizer
):
    whole, broken = session("whole"), session("broken")
    run(whole, optimizer=optimizer)
    with pytest.raises(PreemptedError):
        run(session("broken", stop=lambda done: done == 3), optimizer=optimizer)
    run(broken, optimizer=optimizer)
    assert_same_run(whole, broken)
    assert saved_params(whole)["embedding"].dtype == jnp.bfloat16
    first, *_, last = (line["loss"] for line in metrics_of(whole))
    assert last < 0.9 * first


def test_a_run_that_is_killed_and_resumed_equals_an_unbroken_one(run, session):
    def killed(step, total, metrics):
        if step == 3:  # after the checkpoint of step 2
            raise KeyboardInterrupt

    whole, broken = session("whole"), session("broken")
    run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(session("broken", progress=killed))
    run(broken)
    assert_same_run(whole, broken)


def test_eight_devices_train_as_one(run, session, eight_devices, metrics_of):
    alone, together = session("alone"), session("together", mesh=eight_devices)
    run(alone)
    run(together)
    for one, other in zip(metrics_of(alone), metrics_of(together), strict=True):
        assert other == pytest.approx(one, rel=1e-5)


def test_another_number_of_devices_can_take_a_run_up(
    run, session, eight_devices, metrics_of
):
    whole = session("whole")
    run(whole)
    with pytest.raises(PreemptedError):
        run(session("moved", stop=lambda step: step == 2))
    run(session("moved", mesh=eight_devices))
    for one, other in zip(metrics_of(whole), metrics_of(session("moved")), strict=True):
        assert other == pytest.approx(one, rel=1e-5)


def test_stopped_before_the_first_step_nothing_is_saved(run, session):
    where = session(stop=lambda step: True)
    with pytest.raises(PreemptedError):
        run(where)
    assert not (where.out / "checkpoints").exists()


def test_a_loss_that_is_not_finite_ends_the_run(run, session, start, tiny, params):
    poisoned = params | {"embedding": params["embedding"] * jnp.nan}
    where = session()
    bad = StartModel(
        config=tiny, tokenizer_dir=start.tokenizer_dir, load=lambda: poisoned
    )
    with pytest.raises(InternalError, match=r"loss is nan .* at step 5, and 5 steps"):
        run(where, start=bad)
    assert finished_result(where.out) is None


def test_a_batch_that_devices_cannot_share_is_refused_first(
    run, session, eight_devices
):
    where = session(mesh=eight_devices)
    with pytest.raises(UsageError, match="batch_size=12 cannot be split"):
        run(where, batch_size=12)
    with pytest.raises(UsageError, match="split over 2 microbatches and data x fsdp"):
        run(where, batch_size=8, microbatches=2)
    assert not where.out.exists()


def test_data_that_changed_under_a_run_is_refused(run, session):
    with pytest.raises(PreemptedError):
        run(session(stop=lambda step: step == 2))
    changed = MemorySource(EXAMPLES, fingerprint="other examples")
    with pytest.raises(CorruptDataError, match="has changed since the checkpoint"):
        run(session(), source=changed)


def test_parameters_are_trained_in_float32_whatever_they_were_saved_in(
    run, session, start, tiny, params
):
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    where = session()
    run(
        where,
        start=StartModel(
            config=tiny, tokenizer_dir=start.tokenizer_dir, load=lambda: half
        ),
        optimizer=AdamWConfig(learning_rate=1e-6),
        max_steps=1,
    )
    moved = saved_params(where)["embedding"]
    assert moved.dtype == jnp.float32
    assert np.any(np.asarray(moved) != np.asarray(half["embedding"], np.float32))
