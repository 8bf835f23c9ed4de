"""Keeps the residual stream split by rows, whatever splits the weights."""

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

BATCH_AXES = ("data", "fsdp")  # the mesh axes of sharding.rules' "batch"


def split_by_rows(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    """The same values, each device holding whole rows of some sequences.

    Both the weights and the batch lie on the fsdp axis. Left to itself the compiler
    keeps the weights where they are and gives every device the whole batch; this makes
    it gather the weights instead, which is what FSDP means. It needs the mesh: call
    compiled code under `jax.set_mesh`, else the compiler decides.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(BATCH_AXES, None, None))
