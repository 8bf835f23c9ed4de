"""Tests of `rlaif_jax.sharding.rules`."""

import pytest
from jax.sharding import PartitionSpec as P

from rlaif_jax.sharding.rules import FSDP_TENSOR, partition_spec


def test_names_become_mesh_axes_one_entry_a_dimension():
    axes = ("layers", "embed", "kv_heads", "q_groups", "head_dim")
    spec = partition_spec(axes, FSDP_TENSOR)
    assert spec == P(None, ("fsdp", "sequence"), ("tensor",), None, None)


def test_none_is_replicated_and_a_batch_takes_both_data_axes():
    assert partition_spec(("batch", None), FSDP_TENSOR) == P(("data", "fsdp"), None)


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError, match="embd"):
        partition_spec(("embd",), FSDP_TENSOR)


def test_two_dimensions_on_one_mesh_axis_are_refused():
    with pytest.raises(ValueError, match="one mesh axis"):
        partition_spec(("ffw", "vocab"), FSDP_TENSOR)
