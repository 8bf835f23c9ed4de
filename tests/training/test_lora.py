"""Training of adapters, by the same functions that train all weights."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.weights import Origin, load_weights
from rlaif_jax.config_parts import AdamWConfig, GuardConfig, RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Example
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.errors import PreemptedError
from rlaif_jax.models import Lora, init_adapters, joined_params, merged_params
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.training.plan import StartModel
from rlaif_jax.training.sft import sft_objective, train_sft
from rlaif_jax.training.state import StateLayout

EXAMPLES = [Example([3 + n % 5, 4], [5 + n % 3, 6, 1]) for n in range(24)]
LORA = Lora(rank=2, alpha=8.0, targets=("q", "v", "up"))


@pytest.fixture
def params(params):
    """As of a trained model: the head tells tokens apart."""
    return params | {"head": 30 * params["head"]}


@pytest.fixture
def adapted(tmp_path, tiny, params):
    """A start with adapters on a saved model."""
    folder = store.create_folder(tmp_path / "base", tiny, Path("none"))
    store.save(folder, 0, {"params": params}, {}, keep=1)
    return StartModel(
        config=tiny.replace(lora=LORA),
        tokenizer_dir=Path("none"),
        load=lambda: params,
        adapter_seed=5,
        origin=Origin.at(folder, 0),
    )


@pytest.fixture
def run(adapted, plan):
    def go(session, start=adapted, **changes):
        return train_sft(
            start,
            MemorySource(EXAMPLES, fingerprint="x"),
            objective=sft_objective(start.config, "sequence_sum"),
            layout=build_layout(
                RowsConfig(), length=16, num_devices=batch_divisor(session.mesh)
            ),
            plan=plan(**changes),
            session=session,
        )

    return go


def adapters_in(session):
    return store.restore_params(store.open_folder(session.out))


def test_a_checkpoint_holds_adapters_and_their_statistics_alone(run, session, adapted):
    where = session()
    run(where)
    saved = adapters_in(where)
    fresh = init_adapters(adapted.config, jax.random.key(5))
    assert jax.tree.structure(saved) == jax.tree.structure(fresh)
    moved = [
        float(np.abs(a - b).max())
        for a, b in zip(*map(jax.tree.leaves, (saved, fresh)), strict=True)
    ]
    assert min(moved) > 0.0
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(saved))
    files = (where.out / "checkpoints").rglob("*")
    # two steps of parameters and two statistics each, and what describes them
    assert sum(f.stat().st_size for f in files if f.is_file()) < 2 * 3 * size + 80_000


def test_the_loss_falls_and_the_folder_opens_as_a_plain_model(
    run, session, metrics_of, tiny, params, adapted
):
    where = session()
    run(where, epochs=6)
    losses = [line["loss"] for line in metrics_of(where)]
    assert losses[-1] < 0.6 * losses[0]
    weights = load_weights(where.out)
    assert weights.config == tiny
    expected = merged_params(adapted.config, joined_params(params, adapters_in(where)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        weights.params,
        expected,
    )
    # what has no adapter is as it was
    np.testing.assert_array_equal(weights.params["embedding"], params["embedding"])


def test_an_interrupted_run_ends_as_if_it_had_not_been(run, session):
    whole, parts = session("whole"), session("parts")
    run(whole)
    with pytest.raises(PreemptedError):
        run(dataclasses.replace(parts, stop=lambda step: step == 3))
    run(parts)
    jax.tree.map(np.testing.assert_array_equal, adapters_in(whole), adapters_in(parts))
    metrics = [(s.out / "metrics.jsonl").read_bytes() for s in (whole, parts)]
    assert metrics[0] == metrics[1]


def test_eight_devices_train_the_same_adapters(run, session, eight_devices):
    one, eight = session("one"), session("eight", mesh=eight_devices)
    run(one)
    run(eight)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        adapters_in(one),
        adapters_in(eight),
    )


def test_a_frozen_base_may_be_bfloat16(run, session, adapted, params):
    half = jax.tree.map(lambda leaf: leaf.astype(jax.numpy.bfloat16), params)
    where = session()
    run(where, dataclasses.replace(adapted, load=lambda: half), max_steps=2)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(adapters_in(where))} == {
        "float32"
    }


def test_no_gradient_is_computed_for_frozen_weights(adapted, one_device, params):
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    layout = StateLayout.create(adapted.config, optimizer, one_device)

    def sum_of_squares(params, batch):
        total = sum((leaf**2).sum() for leaf in jax.tree.leaves(params))
        return total + batch.sum(), {}

    step = layout.compile(sum_of_squares, GuardConfig())
    fresh = layout.adapted(adapted.config, 0)
    state, metrics = step(fresh, [jax.numpy.ones(2)], params)
    adapters = init_adapters(adapted.config, jax.random.key(0))
    # the gradient of a sum of squares is twice the leaf: of adapters only
    squares = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(adapters))
    np.testing.assert_allclose(metrics["grad_norm"], 2 * squares**0.5, rtol=1e-5)
    assert "embedding" not in state.params


def test_adapters_of_nothing_are_refused(tiny, params):
    with pytest.raises(ValueError, match="no checkpoint holds"):
        StartModel(
            config=tiny.replace(lora=LORA),
            tokenizer_dir=Path("none"),
            load=lambda: params,
        )
