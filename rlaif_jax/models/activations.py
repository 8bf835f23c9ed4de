"""Keeps the residual stream split by rows and tokens, whatever splits the weights."""

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

BATCH_AXES = ("data", "fsdp")  # the mesh axes of sharding.rules' "batch"
SEQUENCE_AXIS = "sequence"  # that of its "seq"


def split_stream(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    """The same values, each device holding its tokens of some rows.

    Both the weights and the batch lie on the fsdp axis. Left to itself the compiler
    keeps the weights where they are and gives every device the whole batch; this makes
    it gather the weights instead, which is what FSDP means. It needs the mesh: call
    compiled code under `jax.set_mesh`, else the compiler decides.
    """
    return _constrained(x, PartitionSpec(BATCH_AXES, SEQUENCE_AXIS, None))


def whole_rows(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    """The same values, each device holding all tokens of some rows."""
    return _constrained(x, PartitionSpec(BATCH_AXES, None, None))


def merged_tokens(x: Float[Array, "B T *D"]) -> Float[Array, "..."]:
    """Rows and tokens in one dimension, unless both are split.

    Of products with two such dimensions, a CPU takes the gradient of a kernel from a
    transposed copy. But the tokens of several rows, each split, are no even split of
    all tokens: the compiler would bring whole rows together first.
    """
    return x if sequence_parts() > 1 else x.reshape(-1, *x.shape[2:])


def sequence_parts() -> int:
    """Over how many devices a row's tokens are split."""
    return jax.sharding.get_abstract_mesh().shape.get(SEQUENCE_AXIS, 1)


def _constrained(
    x: Float[Array, "B T D"], spec: PartitionSpec
) -> Float[Array, "B T D"]:
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec)
