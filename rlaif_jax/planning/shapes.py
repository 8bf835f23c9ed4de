"""Shapes with shardings: what steps are compiled for when there is no data."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from rlaif_jax.data.layout import Layout
from rlaif_jax.data.packing import PackedRows
from rlaif_jax.models import Params, TransformerConfig, abstract_params, logical_axes
from rlaif_jax.sampling.decode import PromptBatch
from rlaif_jax.sharding.mesh import BATCH_AXES
from rlaif_jax.sharding.placement import param_shardings, require_divisible
from rlaif_jax.training.dpo import PairBatch


def row_shapes(
    layout: Layout, items: Sequence[Any], mesh: Mesh, *, parts: int
) -> list[PackedRows]:
    """The rows of a batch, part by part, as `training.batches` places them.

    Args:
      layout: The run's.
      items: Of a batch.
      mesh: The devices.
      parts: Equal ones, of which one is in memory at a time.
    """
    size = len(items) // parts
    split = [items[i : i + size] for i in range(0, len(items), size)]
    by_rows = NamedSharding(mesh, PartitionSpec(BATCH_AXES))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def shape(array: Any, sharding: NamedSharding) -> Any:
        if array is None:
            return None
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

    return [
        PackedRows(
            **{
                name: shape(array, everywhere if name == "lengths" else by_rows)
                for name, array in rows._asdict().items()
            }
        )
        for rows in layout.parts(split)
    ]


def pair_shapes(rows: PackedRows, has_reference: bool) -> PairBatch:
    """A batch of pairs, with what the reference says of each slot if it is asked."""
    sources: Any = rows.sources
    logps = sources.update(dtype=np.dtype(np.float32)) if has_reference else None
    return PairBatch(rows, logps)


def weight_shapes(config: TransformerConfig, mesh: Mesh, dtype: DTypeLike) -> Params:
    """The parameters of a model on a mesh.

    Raises:
      UsageError: If a mesh axis does not divide a dimension that it splits.
    """
    shapes = abstract_params(config)
    shardings = param_shardings(logical_axes(config), mesh)
    require_divisible({"params": shapes}, {"params": shardings})
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, dtype, sharding=sharding
        ),
        shapes,
        shardings,
    )


def prompt_shapes(num_rows: int, width: int, mesh: Mesh) -> PromptBatch:
    """A batch of prompts to complete."""
    sharding = NamedSharding(mesh, PartitionSpec(BATCH_AXES))

    def array(*sizes: int, dtype: DTypeLike = np.int32) -> Any:
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

    return PromptBatch(
        token_ids=array(num_rows, width),
        lengths=array(num_rows),
        row_hashes=array(num_rows, dtype=np.uint32),
        sample_indices=array(num_rows),
    )
