"""Tests of `rlaif_jax.training.dpo`."""

import dataclasses
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter

from rlaif_jax.checkpoint import store
from rlaif_jax.config_losses import (
    BetaLossConfig,
    DpoLossConfig,
    LossConfig,
    SftTermConfig,
)
from rlaif_jax.config_parts import AdamWConfig, RowsConfig
from rlaif_jax.config_validation import ValidationConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Pair, pack
from rlaif_jax.data.row_sources import ManifestSource
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import InternalError, PreemptedError
from rlaif_jax.records import Message, Preference
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.training import reference
from rlaif_jax.training.dpo import (
    DpoObjective,
    PairBatch,
    PairEncoding,
    train_dpo,
)
from rlaif_jax.training.logp_store import LogpStore
from rlaif_jax.training.plan import ValidationSet
from rlaif_jax.training.preference_loss import PreferenceLoss


def preference(n):
    texts = [chr(97 + n % 20), "b" * (1 + n % 3), "c" * (1 + n % 2)]
    return Preference(
        prompt=(Message(role="user", content=texts[0]),),
        chosen=(Message(role="assistant", content=texts[1]),),
        rejected=(Message(role="assistant", content=texts[2]),),
        pair_id=str(n),
        prompt_id=str(n),
        chosen_generator="teacher",
        rejected_generator="student",
        p_chosen=1.0,
        verdict_both_orders="first,first",
        critic="critic",
        critic_returned_model="critic",
        template_hash="",
        label_cost_usd=0.0,
        chosen_finish_reason="stop",
        rejected_finish_reason="stop",
        split="aif",
    )


DPO = DpoLossConfig(beta=0.1)
SHARDS = [[preference(n) for n in range(a, a + 10)] for a in (0, 10)]


def to_pair(preference):
    """One letter, one id; 1 ends."""

    def ids(message):
        return [ord(letter) - 95 for letter in message.content]

    return Pair(
        ids(preference.prompt[0]),
        [*ids(preference.chosen[0]), 1],
        [*ids(preference.rejected[0]), 1],
    )


def to_rows(preferences):
    return pack([to_pair(one) for one in preferences], length=16, multiple=8)


@pytest.fixture
def folder(tmp_path):
    with ShardWriter(tmp_path / "preferences") as writer:
        for rows in SHARDS:
            writer.add(rows)
        writer.finish()
    return tmp_path / "preferences"


@pytest.fixture
def run(tiny, start, plan, folder):
    """Trains in a session on a finished folder, or another source."""

    def go(session, *, start=start, source=None, loss=DPO, **changes):
        return train_dpo(
            start,
            source or ManifestSource(folder, wait_s=0.0),
            encoding=encoding(session),
            objective=DpoObjective(tiny, PreferenceLoss(loss)),
            plan=plan(**changes),
            session=session,
        )

    return go


def encoding(session):
    """Rows for one or for eight devices."""
    return PairEncoding(
        to_pair=to_pair,
        layout=build_layout(
            RowsConfig(), length=16, num_devices=batch_divisor(session.mesh)
        ),
        reference_dir=session.out / "reference",
    )


def growing(folder, *, shards):
    """A source that seals the next of `shards` whenever training waits for it."""
    writer = ShardWriter(folder)
    waiting = iter(shards)

    def sleep(seconds):
        rows = next(waiting, None)
        if rows is not None:
            writer.add(rows)
            return
        writer.finish()

    return ManifestSource(folder, wait_s=1.0, sleep=sleep)


def assert_same_run(one, other):
    metrics = [(run.out / "metrics.jsonl").read_bytes() for run in (one, other)]
    assert metrics[0] == metrics[1]
    params = [store.restore_params(store.open_folder(run.out)) for run in (one, other)]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_the_first_loss_is_log_2_and_then_it_falls(run, session, metrics_of):
    where = session()
    result = run(where, epochs=10)
    first, *_, last = metrics_of(where)
    assert result.step == last["step"] == 25
    assert first["loss"] == pytest.approx(math.log(2), rel=1e-6)
    assert first["rewards/margins"] == pytest.approx(0.0, abs=1e-6)
    assert last["loss"] < 0.2
    assert last["rewards/accuracies"] == 1.0
    assert last["rewards/margins"] == pytest.approx(
        last["rewards/chosen"] - last["rewards/rejected"], rel=1e-5
    )
    assert last["logps/chosen"] > first["logps/chosen"] > last["logps/rejected"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "dpo", "sft": {"weight": 0.5}},
        {"name": "robust", "max_importance_weight": 2.0},
        {"name": "exo_pair"},
        {"name": "ipo_sum", "beta": 0.1},
        {"name": "sigmoid_norm"},
        {"name": "sppo_hard", "beta": 0.1},
        {"name": "reference_free"},
        {"name": "simpo"},
        {"name": "orpo"},
    ],
    ids=lambda options: options["name"],
)
def test_every_kind_of_loss_falls(run, session, metrics_of, options):
    loss = TypeAdapter(LossConfig).validate_python(options)
    run(where := session(), loss=loss, batch_size=16, epochs=6)
    first, *_, last = metrics_of(where)
    assert last["step"] == 7
    assert last["loss"] < first["loss"]
    assert last["rewards/margins"] > first["rewards/margins"]
    has_reference = (where.out / "reference").exists()
    assert has_reference == PreferenceLoss(loss).needs_reference
    if "sft" in options:
        both = first["loss/preference"] + first["loss/sft"]
        assert first["loss"] == pytest.approx(both, rel=1e-6)
        assert first["loss/preference"] == pytest.approx(math.log(2), rel=1e-6)


def test_rewards_that_are_equal_count_as_wrong(tiny, params):
    pairs = [to_pair(one)._replace(rejected=to_pair(one).chosen) for one in SHARDS[0]]
    rows = jax.tree.map(jnp.asarray, pack(pairs, length=16))
    objective = DpoObjective(tiny, PreferenceLoss(DPO))
    _, metrics = objective(params, PairBatch(rows, jnp.zeros(rows.sources.shape)))
    assert metrics["rewards/accuracies"] == 0.0


def test_eight_devices_train_as_one(run, session, eight_devices, metrics_of):
    alone, together = session("alone"), session("together", mesh=eight_devices)
    run(alone)
    run(together)
    first, *rest = zip(metrics_of(alone), metrics_of(together), strict=True)
    for metrics in first:  # margins of 0 up to rounding: which are above it is chance
        for name in ("accuracies", "ties", "length_correlation"):
            metrics.pop(f"rewards/{name}")
    for one, other in (first, *rest):
        assert other == pytest.approx(one, rel=1e-5, abs=1e-5)


def test_microbatches_train_as_one_batch(run, session, eight_devices, metrics_of):
    whole, split = session("whole"), session("split")
    run(whole, batch_size=16, epochs=4)
    run(split, batch_size=16, epochs=4, microbatches=4)
    run(
        session("spread", mesh=eight_devices),
        batch_size=16,
        epochs=4,
        microbatches=2,
    )
    for other in (split, session("spread")):
        first, *rest = zip(metrics_of(whole), metrics_of(other), strict=True)
        for metrics in first:  # margins of 0 up to rounding
            for name in ("accuracies", "ties", "length_correlation"):
                metrics.pop(f"rewards/{name}", None)
        for one, same in (first, *rest):
            assert same == pytest.approx(one, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_that_is_stopped_and_resumed_equals_an_unbroken_one(run, session, step):
    run(session("whole"))
    with pytest.raises(PreemptedError):
        run(session("broken", stop=lambda done: done == step))
    run(session("broken"))
    assert_same_run(session("whole"), session("broken"))


def test_training_beside_labeling_equals_training_after_it(run, session, tmp_path):
    ShardWriter(tmp_path / "growing").close()
    run(session("after"))
    run(session("beside"), source=growing(tmp_path / "growing", shards=SHARDS))
    assert_same_run(session("after"), session("beside"))


def spare(start):
    """The start of a run, with weights that are its own to free."""
    own = jax.tree.map(jnp.copy, start.load())
    return dataclasses.replace(start, load=lambda: own, is_spare=True)


def are_freed(start):
    return {leaf.is_deleted() for leaf in jax.tree.leaves(start.load())}


@pytest.mark.parametrize("epochs", [1, 3])
def test_once_all_pairs_are_scored_spare_weights_are_freed(run, session, start, epochs):
    given = spare(start)
    held_out = ValidationSet(
        records=[preference(n) for n in range(50, 55)],
        loss_fn=DpoObjective(start.config, PreferenceLoss(DPO)),
        config=ValidationConfig(),
        select=None,
        data={},
    )
    said = []
    where = session(progress=lambda step, total, metrics: said.append(metrics))
    run(where, start=given, epochs=epochs, validation=held_out)
    assert are_freed(given) == {True}
    assert next(m["prepared"] for m in said if "prepared" in m) == 0.0
    run(session("kept"), epochs=epochs, validation=held_out)
    assert_same_run(where, session("kept"))
    validations = [
        (each.out / "validation.jsonl").read_text() for each in (where, session("kept"))
    ]
    assert validations[0] == validations[1]


def test_a_resumed_run_frees_spare_weights_too(run, session, start):
    run(session("whole"), epochs=3)
    with pytest.raises(PreemptedError):
        run(session("broken", stop=lambda done: done == 3), epochs=3)
    given = spare(start)
    run(session("broken"), start=given, epochs=3)
    assert are_freed(given) == {True}
    assert_same_run(session("whole"), session("broken"))


def test_while_preferences_grow_the_reference_is_kept(run, session, start, tmp_path):
    ShardWriter(tmp_path / "growing").close()
    given = spare(start)
    source = growing(tmp_path / "growing", shards=SHARDS)
    run(session(), start=given, source=source)
    assert are_freed(given) == {False}


def test_a_stop_while_the_reference_scores_loses_nothing(run, session):
    asked = iter([False, True])
    with pytest.raises(PreemptedError, match="what the reference scored is kept"):
        run(session("broken", stop=lambda done: next(asked)))
    (folder,) = (session("broken").out / "reference").iterdir()
    kept = LogpStore(folder.parent, identity=folder.name, writer="another")
    assert 0 < len(kept.known) <= 8
    run(session("broken"))
    run(session("whole"))
    assert_same_run(session("whole"), session("broken"))


def test_labeling_that_stops_saves_and_goes_on_later(run, session, tmp_path, folder):
    stalled = tmp_path / "stalled"
    with ShardWriter(stalled) as writer:
        writer.add(SHARDS[0])
    with pytest.raises(PreemptedError, match="has not sealed shard 1"):
        run(session("broken"), source=ManifestSource(stalled, wait_s=0.0))
    assert store.latest_step(store.open_folder(session("broken").out)) == 1
    with ShardWriter(stalled) as writer:
        writer.add(SHARDS[1])
        writer.finish()
    run(session("broken"), source=ManifestSource(stalled, wait_s=0.0))
    run(session("whole"))
    assert_same_run(session("whole"), session("broken"))


def test_the_reference_scores_each_pair_once(run, session):
    run(session(), epochs=4)
    (folder,) = (session().out / "reference").iterdir()
    kept = LogpStore(folder.parent, identity=folder.name, writer="another")
    distinct = {str(to_pair(p)) for rows in SHARDS for p in rows}
    assert len(kept.known) == len(distinct)
    (file, other) = sorted(folder.iterdir(), key=lambda path: -path.stat().st_size)
    # key, count and check, and a number for every token
    sizes = [24 + 4 * len(row) for row in kept.known.values()]
    assert (file.stat().st_size, other.stat().st_size) == (sum(sizes), 0)


def test_a_second_run_reads_what_the_first_scored(run, session, metrics_of):
    first, second = session("first"), session("second")
    run(first)
    shutil.copytree(first.out / "reference", second.out / "reference")
    (folder,) = (second.out / "reference").iterdir()
    before = sorted(folder.iterdir())
    run(second)
    own = [path for path in folder.iterdir() if path not in before]
    assert [path.stat().st_size for path in own] == [0]
    for one, other in zip(metrics_of(first), metrics_of(second), strict=True):
        assert one == other


def test_a_bfloat16_policy_starts_as_its_reference(run, session, metrics_of):
    where = session()
    optimizer = AdamWConfig(learning_rate=1e-3, weights="bfloat16")
    run(where, optimizer=optimizer, max_steps=2)
    # the weights given are float32: unrounded, the margin would be 1e-3 off
    assert metrics_of(where)[0]["rewards/margins"] == pytest.approx(0.0, abs=1e-6)
    assert metrics_of(where)[0]["loss"] == pytest.approx(math.log(2), rel=1e-6)
    moved = store.restore_params(store.open_folder(where.out))["embedding"]
    assert moved.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "loss", [DPO, BetaLossConfig(name="sppo_hard", sft=SftTermConfig())]
)
def test_a_reference_that_is_not_the_start_is_refused_at_once(
    run, session, start, tiny, loss
):
    where = session()
    pairs = [to_pair(p) for shard in SHARDS for p in shard]
    name = reference.reference_identity(tiny, start.load())
    kept = LogpStore(where.out / "reference", identity=name, writer="other")
    wrong = {
        reference._key(pair): np.float32(
            [-1.0] * len(pair.chosen) + [-9.0] * len(pair.rejected)
        )
        for pair in pairs
    }
    kept.add(wrong)
    with pytest.raises(InternalError, match="policy and reference disagree"):
        run(where, loss=loss)
    assert not (where.out / "checkpoints").exists()
