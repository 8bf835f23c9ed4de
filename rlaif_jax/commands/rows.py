"""The rows of a run: how its batches are laid out, and what that asks of attention."""

from typing import NamedTuple

from jax.sharding import Mesh

from rlaif_jax.config import InspectConfig
from rlaif_jax.config_training import TrainingConfig
from rlaif_jax.data.layout import Layout, build_layout, row_tokens
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.training.batches import own_rows

PADDED = frozenset({"padding"})
DECODED = frozenset({"padding", "cache"})  # what rows of `sample` ask of attention
_PACKED = frozenset({"padding", "packed"})
_SHARED = _PACKED | {"shared_prefix"}


class RunRows(NamedTuple):
    """How a run lays out its batches.

    Attributes:
      layout: Makes rows of a batch.
      length: Tokens of a row.
      needs: What attention must be capable of, as in `attending.support.FEATURES`.
    """

    layout: Layout
    length: int
    needs: frozenset[str]


def run_rows(
    config: TrainingConfig | InspectConfig,
    mesh: Mesh,
    *,
    num_completions: int,
) -> RunRows:
    """The rows that a config asks for.

    Args:
      config: The run's.
      mesh: Whose devices share a batch.
      num_completions: Of an item: 1 of an example, 2 of a pair.

    Raises:
      UsageError: If the longest item does not fit a row, or devices cannot share one.
    """
    num_devices = batch_divisor(mesh)
    parts = config.microbatches if isinstance(config, TrainingConfig) else 1
    length = row_tokens(
        config.rows,
        config.tokens,
        num_completions=num_completions,
        items_a_device=config.batch_size / parts / num_devices,
        num_parts=mesh.shape["sequence"],
    )
    layout = build_layout(
        config.rows, length=length, num_devices=num_devices, own=own_rows
    )
    if config.rows.layout == "padded":
        return RunRows(layout, length, PADDED)
    return RunRows(layout, length, _PACKED if num_completions == 1 else _SHARED)
