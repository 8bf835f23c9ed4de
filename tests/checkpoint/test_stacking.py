"""Tests of `rlaif_jax.checkpoint.stacking`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from rlaif_jax.checkpoint.entries import Entry
from rlaif_jax.checkpoint.stacking import read_parameter, tensors_of
from rlaif_jax.checkpoint.tensors import TensorFiles, write_tensors
from rlaif_jax.errors import UsageError

Q = Entry(("q",), "layers.{layer}.q", 1)
SHAPE = (3, 4, 2, 1, 2)  # layers, D, K, G, H


@pytest.fixture
def q_and_files(tmp_path):
    q = jax.random.normal(jax.random.key(0), SHAPE)
    write_tensors(tmp_path, tensors_of([Q], [q], "float32"), max_bytes=10**6)
    return q, TensorFiles(tmp_path)


@pytest.mark.parametrize(
    "spec", [P(), P(None, "fsdp"), P(None, "fsdp", "tensor"), P(None, None, "tensor")]
)
def test_each_device_gets_its_part(q_and_files, spec):
    q, files = q_and_files
    mesh = jax.make_mesh((4, 2), ("fsdp", "tensor"), axis_types=(AxisType.Auto,) * 2)
    sharding = NamedSharding(mesh, spec)
    actual = read_parameter(files, Q, SHAPE, "float32", sharding)
    assert actual.sharding == sharding
    np.testing.assert_array_equal(actual, q)


def test_the_tensors_of_a_sharded_parameter_are_whole(q_and_files):
    q, _ = q_and_files
    mesh = jax.make_mesh((4, 2), ("f", "t"), axis_types=(AxisType.Auto,) * 2)
    sharded = jax.device_put(q, NamedSharding(mesh, P(None, "f", "t")))
    pairs = zip(
        tensors_of([Q], [sharded], "bfloat16"),
        tensors_of([Q], [q], "bfloat16"),
        strict=True,
    )
    for (name, actual), (same_name, expected) in pairs:
        assert name == same_name
        assert actual.dtype == jnp.bfloat16
        np.testing.assert_array_equal(actual, expected)


def test_a_value_that_the_dtype_cannot_hold_is_refused():
    large = jnp.full(SHAPE, 1e5)
    with pytest.raises(UsageError, match=r"layers\.0\.q has values beyond float16"):
        next(tensors_of([Q], [large], "float16"))
