"""How a run lays out its examples or pairs in rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rlaif_jax.config_parts import RowsConfig, TokensConfig
from rlaif_jax.data.packing import (
    Ids,
    OwnRows,
    PackedRows,
    Plan,
    lay_out,
    plan_packed,
    plan_padded,
)
from rlaif_jax.errors import UsageError

_MULTIPLE = 8  # of every row length: what vector units like
_PART = 128  # of every part of a row that devices share: what TPUs' kernels want
_ROWS_A_DEVICE = 4  # that a batch should fill, so that few are left half empty
_WIDE = 1024  # tokens: beyond, packing gains nothing


@dataclass(frozen=True)
class Layout:
    """Makes rows of examples or pairs.

    Attributes:
      plan: Says where items go.
      own: Which rows this process makes, so that no host fills those of all.
    """

    plan: Callable[[Sequence[Sequence[Ids]]], Plan]
    own: OwnRows = slice

    def __call__(self, items: Sequence[Sequence[Ids]]) -> PackedRows:
        """The rows of some items."""
        return self.parts([items])[0]

    def parts(self, parts: Sequence[Sequence[Sequence[Ids]]]) -> list[PackedRows]:
        """The rows of each part of a batch, in one shape for all parts."""
        return lay_out([self.plan(items) for items in parts], self.own)


def build_layout(
    config: RowsConfig, *, length: int, num_devices: int = 1, own: OwnRows = slice
) -> Layout:
    """The layout that a config asks for.

    Args:
      config: Packed or padded.
      length: Tokens of a row, from `row_tokens`.
      num_devices: That share the rows.
      own: Which of so many rows this process makes; all by default.
    """
    plan = {"padded": plan_padded, "packed": plan_packed}[config.layout]
    return Layout(partial(plan, length=length, multiple=num_devices), own)


def row_tokens(
    config: RowsConfig,
    tokens: TokensConfig,
    *,
    num_completions: int,
    items_a_device: float,
    num_parts: int = 1,
) -> int:
    """The length of a run's rows.

    Args:
      config: Packed or padded, and the length if it is given.
      tokens: The limits of prompts and completions.
      num_completions: Of an item.
      items_a_device: Of a batch.
      num_parts: Devices that share the tokens of a row.

    Raises:
      UsageError: If the longest item does not fit a row, or devices cannot share one.
    """
    held = 1 if config.layout == "padded" else num_completions
    longest = tokens.most(held)
    if config.length is not None:
        if config.length < longest:
            raise UsageError(
                f"rows.length={config.length} does not hold {longest} tokens, the"
                " longest prompt with its completions: raise it or lower tokens.max_*"
            )
        if config.length % num_parts:
            raise UsageError(
                f"rows.length={config.length} cannot be split over mesh.sequence="
                f"{num_parts} devices: choose a multiple, best of {num_parts * _PART}"
            )
        return config.length
    if config.layout == "packed":
        filled = int(longest * items_a_device / _ROWS_A_DEVICE)
        longest = max(longest, min(_WIDE, filled))
    multiple = _MULTIPLE if num_parts == 1 else _PART * num_parts
    return -(-longest // multiple) * multiple
