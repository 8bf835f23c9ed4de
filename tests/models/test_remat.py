"""Tests of `rlaif_jax.models.remat`."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.models import hidden_states, init_params, preset
from rlaif_jax.models.remat import REMATS, require

CONFIG = preset("llama-tiny").replace(num_layers=6, attention="blocks")
RECOMPUTING = [name for name, remat in REMATS.items() if remat]
ROWS, TOKENS = 4, 64


def total(config, params, token_ids):
    """Something that depends on every state, of pairs that share their prompt."""
    part = TOKENS // 6  # of two segments, each a prompt and two completions
    place = jnp.broadcast_to(jnp.arange(TOKENS), token_ids.shape)
    segments, within = 1 + place // (TOKENS // 2), place % (TOKENS // 2)
    branches = jnp.minimum(within // part, 2)
    positions = jnp.where(branches == 2, within - part, within)
    states = hidden_states(
        config, params, token_ids, positions, segments, branches=branches
    )
    return jnp.sum(jnp.sin(states.hidden * jnp.arange(1.0, 1.0 + config.embed)))


def token_ids():
    return jax.random.randint(jax.random.key(1), (ROWS, TOKENS), 0, CONFIG.vocab_size)


class Measured(NamedTuple):
    gradients: Any
    temporary_bytes: int  # besides arguments and results


@functools.cache
def measured(name, attention, num_layers=6):
    """The gradient in float64, and what its program needs."""
    with jax.enable_x64(True):
        config = CONFIG.replace(
            compute_dtype="float64",
            attention=attention,
            remat=name,
            num_layers=num_layers,
        )
        params = init_params(config, jax.random.key(0), "float64")
        grad = jax.jit(jax.grad(functools.partial(total, config)))
        compiled = grad.lower(params, token_ids()).compile()
        memory = compiled.memory_analysis()
        gradients = jax.device_get(compiled(params, token_ids()))
        return Measured(gradients, memory.temp_size_in_bytes)


@pytest.mark.parametrize(
    ("name", "attention"),
    [*((name, "blocks") for name in RECOMPUTING), ("attention", "xla")],
)
def test_what_is_computed_again_gives_the_same_gradients(name, attention):
    plain, again = (measured(n, attention).gradients for n in ("none", name))

    def compare(found, expected):
        assert np.abs(expected).max() > 0
        bound = 1e-9 * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)

    for part in ("embedding", "layers", "final_norm"):
        jax.tree.map(compare, again[part], plain[part])


def test_less_is_kept_from_policy_to_policy():
    names = ("none", "dots", "attention", "full")
    found = [measured(name, "blocks").temporary_bytes for name in names]
    assert found == sorted(set(found), reverse=True)
    # of every token in every layer: what was read with its denominators, and the
    # results of q, k, v, o, gate and up
    read = CONFIG.num_heads * CONFIG.head_dim
    keys = 2 * CONFIG.kv_heads * CONFIG.head_dim
    products = read + keys + CONFIG.embed + 2 * CONFIG.ffw
    kept = np.array([products, read + CONFIG.num_heads])
    expected = 8 * ROWS * TOKENS * CONFIG.num_layers * kept
    np.testing.assert_allclose(-np.diff(found)[1:], expected, rtol=0.3)


def test_few_layers_save_memory_too():
    plain, full = (measured(name, "xla", num_layers=3) for name in ("none", "full"))
    assert full.temporary_bytes < 0.7 * plain.temporary_bytes


def test_a_policy_without_effect_is_refused():
    for name in REMATS:
        require(name, platform="tpu", attention="splash")
        require(name, platform="gpu", attention="xla")
    with pytest.raises(UsageError, match=r"on cpu there is no other.*use remat=full"):
        require("offload", platform="cpu", attention="xla")
    with pytest.raises(UsageError, match=r"attention=cudnn computes it again.*=dots"):
        require("attention", platform="gpu", attention="cudnn")
