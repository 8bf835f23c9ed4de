"""Tests of `rlaif_jax.training.state`."""

import re
import warnings
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import (
    AdafactorConfig,
    AdamWConfig,
    GuardConfig,
    MeshConfig,
    RmspropConfig,
)
from rlaif_jax.errors import UsageError
from rlaif_jax.models import abstract_params, logical_axes
from rlaif_jax.models.registry import preset
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.state import StateLayout

OPTIMIZERS = [AdamWConfig(learning_rate=0.1), RmspropConfig(learning_rate=0.1)]


@pytest.mark.parametrize("config", OPTIMIZERS, ids=lambda config: config.name)
def test_statistics_live_with_their_parameters(tiny, params, eight_devices, config):
    layout = StateLayout.create(tiny, build_optimizer(config, None), eight_devices)
    state = layout.fresh(params)
    statistics = optax.tree.get(state.opt_state, "nu")
    jax.tree.map(
        lambda param, statistic: np.testing.assert_equal(
            statistic.sharding, param.sharding
        ),
        state.params,
        statistics,
    )
    assert not state.params["embedding"].is_fully_replicated


def test_a_fresh_state_shares_no_memory_with_its_start(tiny, params, one_device):
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    layout = StateLayout.create(tiny, optimizer, one_device)
    own = jax.device_put(params, layout.shardings.params)
    state = layout.fresh(own)
    jax.tree.map(lambda leaf: leaf.delete(), state.params)
    assert np.isfinite(own["embedding"]).all()


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_spare_weights_become_the_state_and_are_gone(
    tiny, params, eight_devices, weights
):
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    layout = StateLayout.create(tiny, optimizer, eight_devices, weights=weights)
    spare = jax.tree.map(
        lambda leaf, sharding: jax.device_put(np.array(leaf), sharding),
        params,
        layout.shardings.params,
    )
    spare["final_norm"] = jax.tree.map(np.array, params["final_norm"])  # the host's
    with warnings.catch_warnings(action="error"):  # of buffers given for nothing
        state = layout.fresh(spare, is_spare=True)
    arrays = [leaf for leaf in jax.tree.leaves(spare) if isinstance(leaf, jax.Array)]
    assert len(arrays) > 5
    assert all(leaf.is_deleted() for leaf in arrays)
    jax.tree.map(np.testing.assert_array_equal, state, layout.fresh(params))


def test_restored_is_the_state_that_was_saved(tiny, params, one_device):
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    layout = StateLayout.create(tiny, optimizer, one_device)
    state = layout.fresh(params)._replace(step=jax.numpy.int32(7))
    again = layout.restored(layout.saved(state), 7)
    jax.tree.map(np.testing.assert_array_equal, again, state)
    assert jax.tree.structure(again) == jax.tree.structure(layout.abstract)


def test_a_mesh_that_does_not_divide_the_model_is_refused(tiny):
    mesh = build_mesh(MeshConfig(data=1, fsdp=1, tensor=8))
    optimizer = build_optimizer(AdamWConfig(learning_rate=0.1), None)
    with pytest.raises(UsageError, match="tensor of 8 devices does not divide"):
        StateLayout.create(tiny, optimizer, mesh)


SMALL = [
    AdamWConfig(learning_rate=0.1, weights="bfloat16", moments="int8"),
    AdafactorConfig(learning_rate=0.1, weights="bfloat16", min_factored=8),
]
SMALL_NAMES = ["adamw", "adafactor"]


def layout_of(model, config, mesh):
    optimizer = build_optimizer(config, None, axes=logical_axes(model))
    return StateLayout.create(model, optimizer, mesh, weights=config.weights)


def sum_of_squares(params, batch):
    total = sum((leaf.astype("float32") ** 2).sum() for leaf in jax.tree.leaves(params))
    return total * batch, {}


def test_factors_lie_as_what_they_are_the_means_of(tiny, params, eight_devices):
    config = AdafactorConfig(learning_rate=0.1, min_factored=8)
    layout = layout_of(tiny, config, eight_devices)
    squares = optax.tree.get(layout.fresh(params).opt_state, "squares")
    up = squares["layers"]["mlp"]["up"]  # of layers x embed x ffw, split by embed
    assert (up.rows.shape, up.columns.shape) == ((2, 16), (2, 16))
    assert up.rows.sharding.shard_shape((2, 16)) == (2, 4)
    assert up.columns.is_fully_replicated
    norm = squares["layers"]["mlp_norm"]["scale"]
    assert norm.sharding.shard_shape(norm.shape) == (2, 4)


def test_codes_lie_with_their_parameters(tiny, params, eight_devices):
    config = AdamWConfig(learning_rate=0.1, moments="int8")
    state = layout_of(tiny, config, eight_devices).fresh(params)
    moment = optax.tree.get(state.opt_state, "nu")["layers"]["attention"]["q"]
    q = state.params["layers"]["attention"]["q"]
    assert moment.codes.dtype == "uint8"
    assert moment.codes.sharding == q.sharding
    assert moment.rows.sharding.shard_shape(moment.rows.shape) == (2, 4)
    assert moment.columns.shape == (2, *q.shape[2:])


def test_eight_devices_round_as_one(one_device, eight_devices):
    # a norm over all devices that clips would be summed up in another order
    config = SMALL[0].model_copy(update={"max_grad_norm": 1e9})
    optimizer = build_optimizer(config, None, axes={"w": ("embed", "ffw")})
    draws = np.random.default_rng(0)
    start = {"w": draws.normal(size=(32, 64)).astype("bfloat16")}
    grads = {"w": draws.normal(size=(32, 64)).astype("bfloat16")}

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    ends = []
    for mesh in (one_device, eight_devices):
        split = NamedSharding(mesh, PartitionSpec("fsdp", "data"))
        params = jax.device_put(start, split)
        state = jax.jit(optimizer.init)(params)
        for _ in range(3):
            params, state = step(params, state)
        assert params["w"].sharding.is_equivalent_to(split, 2)
        ends.append(jax.device_get((params, state)))

    def compare(one, other):
        if one.dtype == np.float32:  # the largest of rows and columns, before rounding
            np.testing.assert_allclose(one, other, rtol=3e-7)
        else:
            np.testing.assert_array_equal(one, other)

    jax.tree.map(compare, *ends)


def test_no_device_makes_what_belongs_to_others(tiny, one_device, eight_devices):
    model = tiny.replace(embed=256, ffw=1024, vocab_size=256)
    config = AdamWConfig(learning_rate=0.1, weights="bfloat16", moments="int8")
    temporary = []
    for mesh in (one_device, eight_devices):
        layout = layout_of(model, config, mesh)
        batch = jax.ShapeDtypeStruct((), np.float32)
        compiled = layout.compile(sum_of_squares, GuardConfig()).lower(
            layout.abstract, [batch], {}
        )
        temporary.append(compiled.compile().memory_analysis().temp_size_in_bytes)
    # parameters are split by four; a whole array of random numbers would show
    assert temporary[1] < 0.3 * temporary[0]


@pytest.mark.parametrize("config", SMALL, ids=SMALL_NAMES)
def test_the_first_step_after_a_restore_frees_the_state(
    tmp_path, tiny, params, one_device, config
):
    layout = layout_of(tiny, config, one_device)
    step = layout.compile(sum_of_squares, GuardConfig())
    state, _ = step(layout.fresh(params), [np.float32(1.0)], {})
    folder = store.create_folder(tmp_path / "run", tiny, Path("none"))
    store.save(folder, 1, layout.saved(state), {}, keep=1)
    found = store.restore_state(folder, layout.saved(layout.abstract))
    again = layout.restored(found.state, found.step)
    jax.tree.map(np.testing.assert_array_equal, again, state)
    assert [leaf.dtype for leaf in jax.tree.leaves(again)] == [
        leaf.dtype for leaf in jax.tree.leaves(layout.abstract)
    ]
    after, _ = step(again, [np.float32(1.0)], {})
    jax.block_until_ready(after)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(again))


def test_the_table_of_bytes_is_right(one_device):
    model = preset("mistral-7b-v0.3")
    count = sum(leaf.size for leaf in jax.tree.leaves(abstract_params(model)))
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    rows = re.findall(r"^\| `(name=.*?)` \|.*\| ([\d.]+) \|$", text, re.MULTILINE)
    assert len(rows) == 10
    kinds = {"adamw": AdamWConfig, "rmsprop": RmspropConfig}
    for options, total in rows:
        named = dict(option.split("=") for option in options.split())
        kind = kinds.get(named["name"], AdafactorConfig)
        layout = layout_of(model, kind(learning_rate=0.1, **named), one_device)
        leaves = jax.tree.leaves(layout.abstract)
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
        assert f"{size / count:.2f}" == total, options
