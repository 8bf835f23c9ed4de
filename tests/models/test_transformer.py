"""Tests of `rlaif_jax.models.transformer`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.models import (
    abstract_params,
    forward,
    hidden_states,
    init_params,
    logical_axes,
    preset,
    unembed,
)
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import param_shardings, place_batch, place_params

CONFIG = preset("llama-tiny")
WINDOWED = CONFIG.replace(sliding_window=3)
TIED = CONFIG.replace(tie_embeddings=True)
DEEP = CONFIG.replace(num_layers=6)  # past what a scan unrolls


@pytest.fixture(scope="module")
def params():
    return init_params(CONFIG, jax.random.key(0))


@pytest.fixture(scope="module")
def token_ids():
    return jax.random.randint(jax.random.key(1), (4, 8), 0, CONFIG.vocab_size)


def mean_loss(config, params, token_ids):
    logps = jax.nn.log_softmax(forward(config, params, token_ids)[:, :-1])
    return -jnp.take_along_axis(logps, token_ids[:, 1:, None], axis=-1).mean()


def assert_trees_close(actual, expected, atol=1e-6):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=atol),
        actual,
        expected,
    )


@pytest.mark.parametrize("config", [CONFIG, WINDOWED, DEEP])
def test_logits_do_not_depend_on_the_future(config, token_ids):
    params = init_params(config, jax.random.key(0))
    base = forward(config, params, token_ids)
    edited = forward(config, params, token_ids.at[:, 5:].set(9))
    np.testing.assert_allclose(base[:, :5], edited[:, :5], rtol=1e-5, atol=1e-6)
    assert not np.allclose(base[:, 5:], edited[:, 5:], atol=1e-3)


def test_a_window_forgets_what_no_layer_can_reach(token_ids):
    # 2 layers of window 3 reach back 2 * (3 - 1) = 4 tokens
    params = init_params(WINDOWED, jax.random.key(0))
    base = forward(WINDOWED, params, token_ids)
    edited = forward(WINDOWED, params, token_ids.at[:, 0].set(9))
    np.testing.assert_allclose(base[:, 5:], edited[:, 5:], rtol=1e-5, atol=1e-6)
    assert not np.allclose(base[:, 4], edited[:, 4], atol=1e-5)


def test_packed_segments_are_as_good_as_separate_rows(params, token_ids):
    packed = jnp.concatenate([token_ids[:1, :3], token_ids[1:2, :5]], axis=1)
    actual = forward(
        CONFIG,
        params,
        packed,
        positions=jnp.array([[0, 1, 2, 0, 1, 2, 3, 4]]),
        segment_ids=jnp.array([[1] * 3 + [2] * 5]),
    )[0]
    first = forward(CONFIG, params, token_ids[:1, :3])[0]
    second = forward(CONFIG, params, token_ids[1:2, :5])[0]
    np.testing.assert_allclose(actual[:3], first, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(actual[3:], second, rtol=1e-4, atol=1e-5)


def test_a_row_of_padding_is_finite_forward_and_backward(params, token_ids):
    def total(params):
        zeros = jnp.zeros_like(token_ids)
        logits = forward(CONFIG, params, token_ids, positions=zeros, segment_ids=zeros)
        return jnp.square(logits).sum()

    value, grads = jax.value_and_grad(total)(params)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("config", [CONFIG, DEEP], ids=["unrolled", "scanned"])
def test_rematerialized_gradients_are_the_same(config, token_ids):
    params = init_params(config, jax.random.key(0))
    plain = jax.grad(mean_loss, argnums=1)(config, params, token_ids)
    saved = jax.grad(mean_loss, argnums=1)(
        config.replace(remat="full"), params, token_ids
    )
    assert_trees_close(saved, plain)


def test_the_scan_is_a_loop_over_the_stacked_layers(token_ids):
    deep = init_params(DEEP, jax.random.key(0))
    identity = jax.tree.map(lambda leaf: leaf, deep)
    for block, name in (("attention", "o"), ("mlp", "down")):
        kernel = identity["layers"][block][name]
        identity["layers"][block][name] = kernel.at[2:].set(0.0)  # adds nothing
    shallow = dict(deep, layers=jax.tree.map(lambda leaf: leaf[:2], deep["layers"]))
    np.testing.assert_allclose(
        forward(DEEP, identity, token_ids),
        forward(DEEP.replace(num_layers=2), shallow, token_ids),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("config", [CONFIG, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize("shape", [(2, 4, 1), (1, 8, 1), (2, 2, 2)], ids=str)
def test_sharded_gradients_match_replicated(config, shape):
    params = init_params(config, jax.random.key(0))
    token_ids = np.asarray(
        jax.random.randint(jax.random.key(1), (8, 6), 0, 512), np.int32
    )
    data, fsdp, tensor = shape
    mesh = build_mesh(MeshConfig(data=data, fsdp=fsdp, tensor=tensor))
    step = jax.jit(jax.value_and_grad(mean_loss, argnums=1), static_argnums=0)
    loss, grads = step(config, params, token_ids)
    placed = place_params(params, logical_axes(config), mesh)
    with jax.set_mesh(mesh):
        placed_loss, placed_grads = step(config, placed, place_batch(token_ids, mesh))
    np.testing.assert_allclose(placed_loss, loss, rtol=1e-5)
    assert_trees_close(jax.device_get(placed_grads), jax.device_get(grads))


def test_parameters_can_be_born_sharded():
    mesh = build_mesh(MeshConfig(data=1, fsdp=4, tensor=2))
    shardings = param_shardings(logical_axes(CONFIG), mesh)
    init = jax.jit(init_params, static_argnums=0, out_shardings=shardings)
    params = init(CONFIG, jax.random.key(0))
    assert params["layers"]["mlp"]["gate"].sharding.shard_shape((2, 32, 64)) == (
        2,
        8,
        32,
    )
    assert_trees_close(jax.device_get(params), init_params(CONFIG, jax.random.key(0)))


@pytest.mark.parametrize("config", [CONFIG, TIED, WINDOWED, DEEP])
def test_every_axis_has_its_name_and_its_length(config):
    shapes = abstract_params(config)
    axes = logical_axes(config)
    assert jax.tree.structure(shapes) == jax.tree.structure(
        axes, is_leaf=lambda node: isinstance(node, tuple)
    )
    for path, leaf in jax.tree.leaves_with_path(shapes):
        named = axes
        for key in path:
            named = named[key.key]
        assert leaf.shape == tuple(config.axis_sizes[name] for name in named)


def test_parameters_are_plain_dicts_of_arrays(params):
    def kinds(node):
        if type(node) is dict:
            return {kind for child in node.values() for kind in kinds(child)}
        return {type(node)}

    assert kinds(params) == {type(jnp.ones(1))}
    assert "head" not in init_params(TIED, jax.random.key(0))


def test_computes_in_bfloat16_and_answers_in_float32(params, token_ids):
    config = CONFIG.replace(compute_dtype="bfloat16")
    ones = jnp.ones_like(token_ids)
    positions = jnp.cumsum(ones, axis=1) - 1
    states = hidden_states(config, params, token_ids, positions, ones)
    logits = unembed(config, params, states.hidden)
    assert states.hidden.dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    full = forward(CONFIG, params, token_ids)
    np.testing.assert_allclose(logits, full, atol=0.1)
    assert (
        init_params(CONFIG, jax.random.key(0), "bfloat16")["head"].dtype == "bfloat16"
    )


SMALL = {"vocab_size": 64, "num_layers": 2, "embed": 32, "ffw": 48}
VARIANTS = {
    config.family: config.replace(
        **SMALL,
        kv_heads=2,
        q_groups=min(2, config.q_groups),
        head_dim=8,
        max_positions=32,
        sliding_window=config.sliding_window and 3,
    )
    for config in map(
        preset,
        [
            "llama-3.2-1b",
            "mistral-7b-v0.1",
            "mixtral-8x7b-v0.1",
            "qwen2.5-7b",
            "qwen3-8b",
            "gemma-2-2b",
            "pythia-70m",
            "gpt2",
        ],
    )
}


@pytest.mark.parametrize("family", VARIANTS)
def test_every_family_has_the_same_gradients_on_a_mesh(family):
    config = VARIANTS[family]
    params = init_params(config, jax.random.key(0))
    token_ids = jax.random.randint(jax.random.key(1), (8, 8), 0, config.vocab_size)
    grad = jax.value_and_grad(lambda p: mean_loss(config, p, token_ids))
    expected = grad(params)
    mesh = build_mesh(MeshConfig(fsdp=4, tensor=2))
    with jax.set_mesh(mesh):
        placed = place_params(params, logical_axes(config), mesh)
        actual = jax.jit(grad)(placed)
    assert_trees_close(actual, expected, atol=1e-5)


@pytest.mark.parametrize("family", VARIANTS)
def test_every_family_recomputes_to_the_same_gradients(family):
    config = VARIANTS[family]
    params = init_params(config, jax.random.key(0))
    token_ids = jax.random.randint(jax.random.key(1), (2, 8), 0, config.vocab_size)
    expected, full, dots = (
        jax.grad(lambda p, c=c: mean_loss(c, p, token_ids))(params)
        for c in (config, config.replace(remat="full"), config.replace(remat="dots"))
    )
    assert_trees_close(full, expected, atol=1e-5)
    assert_trees_close(dots, expected, atol=1e-5)
