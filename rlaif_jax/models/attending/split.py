"""Runs a backend on every device's own rows and heads."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from rlaif_jax.models.activations import BATCH_AXES

ROWS = PartitionSpec(BATCH_AXES)  # of arrays [B ...]
HEADS = PartitionSpec(BATCH_AXES, None, "tensor")  # of arrays [B T K ...]
EVERYWHERE = PartitionSpec()


def by_rows_and_heads(
    compute: Callable[..., Any], in_specs: tuple[Any, ...], out_specs: Any
) -> Callable[..., Any]:
    """`compute` on each device's part of the arguments, without communication.

    A row's attention needs neither other rows nor other heads. The compiler cannot see
    that through gathers, loops and kernels, and would bring all rows everywhere.

    Args:
      compute: Of arrays, to arrays.
      in_specs: `ROWS`, `HEADS` or `EVERYWHERE` for each argument.
      out_specs: The same of its results.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return compute
    # results are equal along the expert axis, which no check can see through a kernel
    return jax.shard_map(
        compute, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )
