"""Tests of `rlaif_jax.models.reward`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.models import (
    abstract_params,
    forward,
    init_params,
    logical_axes,
    preset,
    reward_model,
    rewards,
)

CONFIG = preset("llama-tiny")
TIED = CONFIG.replace(tie_embeddings=True)


@pytest.mark.parametrize("config", [CONFIG, TIED])
def test_one_head_is_exchanged_for_another(config):
    params = init_params(config, jax.random.key(0))
    model = reward_model(config, params)
    assert model.params.keys() == params.keys() - {"head"} | {"reward_head"}
    assert model.params["layers"] is params["layers"]
    for tree in (abstract_params(model.config), logical_axes(model.config)):
        assert tree.keys() == model.params.keys()
    shape = abstract_params(model.config)["reward_head"].shape
    assert model.params["reward_head"].shape == shape == (config.embed,)


def test_nothing_is_preferred_at_first():
    params = init_params(CONFIG.replace(head="reward"), jax.random.key(0))
    hidden = jax.random.normal(jax.random.key(1), (2, 3, CONFIG.embed))
    np.testing.assert_array_equal(rewards(params, hidden), np.zeros((2, 3)))


def test_a_reward_is_the_product_with_the_head_in_float32():
    head = jnp.arange(4.0)
    hidden = jnp.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, -0.5]], jnp.bfloat16)
    found = rewards({"reward_head": head}, hidden)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, [20.0, -1.5])  # 2 + 6 + 12, and -0.5 * 3


def test_a_reward_model_has_no_logits():
    model = reward_model(TIED, init_params(TIED, jax.random.key(0)))
    with pytest.raises(ValueError, match="a model with a reward head has no logits"):
        forward(model.config, model.params, jnp.zeros((1, 3), jnp.int32))
