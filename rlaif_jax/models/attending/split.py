"""Runs a backend on every device's own rows, queries and heads."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from rlaif_jax.models.activations import (
    BATCH_AXES,
    SEQUENCE_AXIS,
    sequence_parts,
)
from rlaif_jax.models.attending.rule import Heads

ROWS = PartitionSpec(BATCH_AXES)  # of arrays [B ...]
TOKENS = PartitionSpec(BATCH_AXES, SEQUENCE_AXIS)  # of arrays [B T ...]
QUERIES = PartitionSpec(BATCH_AXES, SEQUENCE_AXIS, "tensor")  # [B T K ...]
KEYS = PartitionSpec(BATCH_AXES, None, "tensor")  # [B S K ...]
HEADS = Heads._make((QUERIES, KEYS, KEYS))
EVERYWHERE = PartitionSpec()


def by_rows_and_heads(
    compute: Callable[..., Any], in_specs: tuple[Any, ...], out_specs: Any
) -> Callable[..., Any]:
    """`compute` on each device's part of the arguments.

    A query's attention needs neither other rows nor other heads, nor other queries of
    its row: only all keys, which are gathered where a row's tokens are split. The
    compiler cannot see that through gathers, loops and kernels, and would bring all
    rows everywhere.

    Args:
      compute: Of arrays, to arrays.
      in_specs: A spec of this module, or a tree of them, for each argument.
      out_specs: The same of its results.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return compute
    # results are equal along the expert axis, which no check can see through a kernel
    return jax.shard_map(
        compute, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


def whole_keys(heads: Heads) -> Heads:
    """Heads whose keys and values are whole on every device that has queries of them.

    For a backend that leaves the split to the compiler.
    """
    if sequence_parts() == 1:
        return heads
    constrain = jax.lax.with_sharding_constraint
    return heads._replace(k=constrain(heads.k, KEYS), v=constrain(heads.v, KEYS))
