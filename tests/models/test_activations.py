"""Tests of `rlaif_jax.models.activations`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.models import abstract_params, forward, logical_axes, preset
from rlaif_jax.models.activations import BATCH_AXES, SEQUENCE_AXIS, split_stream
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import param_shardings
from rlaif_jax.sharding.rules import FSDP_TENSOR


def test_the_axes_are_those_of_the_rules():
    assert FSDP_TENSOR["batch"] == BATCH_AXES
    assert FSDP_TENSOR["seq"] == (SEQUENCE_AXIS,)


def test_nothing_happens_without_a_mesh():
    x = jnp.ones((3, 2, 4))
    assert split_stream(x) is x


def test_rows_are_split_and_values_stay():
    mesh = build_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
    x = jax.random.normal(jax.random.key(0), (8, 3, 4))
    by_width = jax.device_put(x, NamedSharding(mesh, P(None, None, "fsdp")))
    with jax.set_mesh(mesh):
        y = jax.jit(split_stream)(by_width)
    assert y.sharding.shard_shape(y.shape) == (2, 3, 4)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("num_layers", [2, 6], ids=["unrolled", "scanned"])
@pytest.mark.parametrize(
    ("axes", "part"),
    [({"fsdp": 8}, "2,24,64"), ({"fsdp": 4, "sequence": 2}, "4,12,64")],
    ids=["rows", "tokens"],
)
def test_no_device_multiplies_the_whole_batch(num_layers, axes, part):
    config = preset("llama-tiny").replace(num_layers=num_layers)
    mesh = build_mesh(MeshConfig(**axes))
    params = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        abstract_params(config),
        param_shardings(logical_axes(config), mesh),
    )
    rows = NamedSharding(mesh, P(BATCH_AXES))
    token_ids = jax.ShapeDtypeStruct((16, 24), jnp.int32, sharding=rows)
    with jax.set_mesh(mesh):
        text = forward.lower(config, params, token_ids).compile().as_text()
    assert "f32[16,24,64]" not in text  # the feed-forward layer of all 16 rows
    assert "f32[4,24,64]" not in text  # of all tokens of a row
    assert f"f32[{part}]" in text  # of this device's
