"""Tests of `rlaif_jax.models.lora`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.models import (
    Lora,
    TransformerConfig,
    forward,
    frozen_params,
    init_adapters,
    init_params,
    joined_params,
    logical_axes,
    merged_params,
    trained_params,
)
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import place_params

PLAIN = TransformerConfig(
    family="llama",
    vocab_size=32,
    embed=16,
    num_layers=2,
    kv_heads=2,
    q_groups=2,
    head_dim=8,
    ffw=24,
    max_positions=32,
    norm_eps=1e-5,
    eos_token_id=1,
)
LORA = Lora(rank=2, alpha=6.0, targets=("q", "o", "gate"))
ADAPTED = PLAIN.replace(lora=LORA)
IDS = jnp.arange(18).reshape(2, 9) % 32


def random_adapters(config=ADAPTED, seed=0):
    adapters = init_adapters(config, jax.random.key(0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.2, leaf.shape), leaf.dtype), adapters
    )


def test_base_weights_do_not_depend_on_adapters():
    key = jax.random.key(3)
    plain, all_params = init_params(PLAIN, key), init_params(ADAPTED, key)
    jax.tree.map(
        np.testing.assert_array_equal, plain, frozen_params(ADAPTED, all_params)
    )


def test_fresh_adapters_change_nothing_at_all():
    params = init_params(PLAIN, jax.random.key(0))
    adapters = init_adapters(ADAPTED, jax.random.key(1))
    both = forward(ADAPTED, joined_params(params, adapters), IDS)
    np.testing.assert_array_equal(both, forward(PLAIN, params, IDS))


def test_fresh_adapters_are_uniform_within_the_inputs_inverse_root():
    a = init_adapters(ADAPTED, jax.random.key(1))["layers"]["attention"]["o_lora_a"]
    assert a.shape == (2, 2, 2, 8, 2)  # layers, kv heads, groups, head width, rank
    bound = (2 * 2 * 8) ** -0.5
    assert 0.9 * bound < np.abs(a).max() <= bound
    # of a uniform distribution, the standard deviation is bound / sqrt 3
    np.testing.assert_allclose(np.std(a), bound / 3**0.5, rtol=0.1)


def test_the_parts_join_to_the_whole():
    params = init_params(ADAPTED, jax.random.key(0))
    frozen, trained = frozen_params(ADAPTED, params), trained_params(ADAPTED, params)
    mlp = trained["layers"]["mlp"]
    assert set(mlp) == {"gate_lora_a", "gate_lora_b"}
    assert "embedding" not in trained
    jax.tree.map(np.testing.assert_array_equal, joined_params(frozen, trained), params)


def test_without_adapters_everything_is_trained():
    params = init_params(PLAIN, jax.random.key(0))
    assert trained_params(PLAIN, params) is params
    assert frozen_params(PLAIN, params) == {}
    assert merged_params(PLAIN, params) is params


def test_merged_weights_compute_the_same():
    params = init_params(PLAIN, jax.random.key(0))
    both = joined_params(params, random_adapters())
    merged = merged_params(ADAPTED, both)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    q, o = (merged["layers"]["attention"][name] for name in "qo")
    attention = both["layers"]["attention"]
    a, b = np.asarray(attention["q_lora_a"][1]), np.asarray(attention["q_lora_b"][1])
    expected = attention["q"][1] + 3.0 * (a @ b.reshape(2, -1)).reshape(16, 2, 2, 8)
    np.testing.assert_allclose(q[1], expected, atol=1e-6)
    assert o.shape == attention["o"].shape
    np.testing.assert_allclose(
        forward(PLAIN, merged, IDS), forward(ADAPTED, both, IDS), atol=2e-5
    )
    assert np.abs(forward(PLAIN, params, IDS) - forward(PLAIN, merged, IDS)).max() > 0.1


def test_a_merged_weight_keeps_its_dtype_and_is_rounded_once():
    params = init_params(PLAIN, jax.random.key(0), "bfloat16")
    adapters = random_adapters()
    merged = merged_params(ADAPTED, joined_params(params, adapters))
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    exact = merged_params(ADAPTED, joined_params(wide, adapters))
    jax.tree.map(
        lambda rounded, exact: np.testing.assert_array_equal(
            rounded, exact.astype(jnp.bfloat16)
        ),
        merged,
        exact,
    )


@pytest.mark.parametrize(
    "mesh", [MeshConfig(data=2, fsdp=4), MeshConfig(data=2, fsdp=2, tensor=2)]
)
def test_adapters_and_their_gradients_on_a_mesh(mesh):
    params = joined_params(init_params(PLAIN, jax.random.key(0)), random_adapters())
    ids = jnp.arange(8 * 9).reshape(8, 9) % 32

    def loss(adapters, frozen):
        return (forward(ADAPTED, joined_params(frozen, adapters), ids) ** 2).mean()

    gradient = jax.jit(jax.grad(loss))
    alone = gradient(trained_params(ADAPTED, params), frozen_params(ADAPTED, params))
    devices = build_mesh(mesh)
    with jax.set_mesh(devices):
        placed = place_params(params, logical_axes(ADAPTED), devices)
        shared = gradient(
            trained_params(ADAPTED, placed), frozen_params(ADAPTED, placed)
        )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), alone, shared
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "lora rank must be positive: 0"),
        ({"alpha": 0.0}, "lora alpha must be positive"),
        ({"targets": ()}, "distinct names"),
        ({"targets": ("q", "q")}, "distinct names"),
    ],
)
def test_impossible_adapters_are_refused(changes, message):
    fields = {"rank": 2, "alpha": 4.0, "targets": ("q",)} | changes
    with pytest.raises(ValueError, match=message):
        Lora(**fields)


def test_a_map_that_the_family_lacks_is_refused():
    plain = PLAIN.replace(gated=False)
    with pytest.raises(ValueError, match=r"'gate' is not one of llama's.* up, down"):
        plain.replace(lora=LORA)
    mixture = PLAIN.replace(num_experts=4)
    assert mixture.linears == ("q", "k", "v", "o")
    with pytest.raises(ValueError, match="'gate' is not one of"):
        mixture.replace(lora=LORA)


def test_a_config_with_adapters_survives_a_file():
    import json

    document = json.loads(json.dumps(ADAPTED.to_json()))
    assert TransformerConfig.from_json(document) == ADAPTED
