"""Tests of `rlaif_jax.models.experts`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.models import forward, hidden_states, init_params, logical_axes, preset
from rlaif_jax.models.experts import Experts
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import param_shardings

CONFIG = preset("llama-tiny").replace(family="mixtral", num_experts=4)
TEXT = jnp.ones((4, 5), bool)


@pytest.fixture
def experts():
    return Experts(CONFIG, rngs=nnx.Rngs(0))


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(1), (4, 5, CONFIG.embed))


def by_hand(experts, token):
    """One token through its two best experts."""
    router, gate, up, down = (
        np.asarray(w[...], np.float64)
        for w in (experts.router, experts.gate, experts.up, experts.down)
    )
    odds = np.exp(token @ router)
    best = np.argsort(-odds)[:2]
    total = 0.0
    for expert in best:
        inner = token @ gate[expert]
        hidden = inner / (1 + np.exp(-inner)) * (token @ up[expert])
        total = total + odds[expert] / odds[best].sum() * (hidden @ down[expert])
    return total, best


def test_each_token_passes_through_its_two_best_experts(experts, x):
    update, routing = experts(x, TEXT)
    tokens = np.asarray(x, np.float64).reshape(-1, CONFIG.embed)
    expected, chosen = zip(*(by_hand(experts, token) for token in tokens), strict=True)
    np.testing.assert_allclose(
        update.reshape(-1, CONFIG.embed), np.stack(expected), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(
        routing.load, np.bincount(np.concatenate(chosen), minlength=4)
    )
    assert routing.num_tokens == 20
    np.testing.assert_allclose(routing.probability.sum(), 20.0, rtol=1e-5)


def test_a_token_does_not_depend_on_its_neighbours(experts, x):
    """All may choose one expert: none is ever full."""
    same = jnp.broadcast_to(x[:1, :1], x.shape)
    alone, _ = experts(x[:1, :1], TEXT[:1, :1])
    crowded, routing = experts(same, TEXT)
    np.testing.assert_allclose(crowded, jnp.broadcast_to(alone, x.shape), rtol=1e-5)
    assert sorted(np.asarray(routing.load)) == [0, 0, 20, 20]


def test_padding_is_not_counted(experts, x):
    real = TEXT.at[:, 3:].set(False)
    _, routing = experts(x, real)
    _, expected = experts(x[:, :3], TEXT[:, :3])
    jax.tree.map(np.testing.assert_allclose, routing, expected)


@pytest.mark.parametrize(
    "axes",
    [
        {"expert": 4},
        {"fsdp": 2, "expert": 2, "tensor": 2},
        {"data": 2, "expert": 4},
        {"sequence": 2, "expert": 2},
    ],
    ids=str,
)
def test_experts_on_several_devices_give_the_same(axes):
    mesh = build_mesh(MeshConfig(**({"fsdp": -1} | axes)))
    params = init_params(CONFIG, jax.random.key(0))
    token_ids = jax.random.randint(jax.random.key(1), (8, 6), 0, CONFIG.vocab_size)

    def loss(params):
        return jnp.mean(jax.nn.logsumexp(forward(CONFIG, params, token_ids), -1) ** 2)

    expected, expected_grads = jax.value_and_grad(loss)(params)
    shardings = param_shardings(logical_axes(CONFIG), mesh)
    with jax.set_mesh(mesh):
        placed = jax.device_put(params, shardings)
        assert placed["layers"]["mlp"]["gate"].sharding.spec[1] == "expert"
        actual, grads = jax.jit(jax.value_and_grad(loss))(placed)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        grads,
        expected_grads,
    )


def test_a_model_tells_the_routing_of_every_layer():
    params = init_params(CONFIG, jax.random.key(0))
    token_ids = jnp.zeros((2, 3), jnp.int32)
    ones = jnp.ones_like(token_ids)
    states = hidden_states(CONFIG, params, token_ids, ones, ones)
    assert states.routing.load.shape == (CONFIG.num_layers, 4)
    np.testing.assert_array_equal(states.routing.load.sum(axis=1), [12, 12])
    assert (
        hidden_states(
            preset("llama-tiny"),
            init_params(preset("llama-tiny"), jax.random.key(0)),
            token_ids,
            ones,
            ones,
        ).routing
        is None
    )
