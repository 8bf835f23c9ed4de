"""How a run lays out its examples or pairs in rows."""

from collections.abc import Callable, Sequence
from functools import partial

from rlaif_jax.config_parts import RowsConfig, TokensConfig
from rlaif_jax.data.packing import Ids, PackedRows, pack, pad
from rlaif_jax.errors import UsageError

Layout = Callable[[Sequence[Sequence[Ids]]], PackedRows]

_MULTIPLE = 8  # of every row length: what vector units like
_ROWS_A_DEVICE = 4  # that a batch should fill, so that few are left half empty
_WIDE = 1024  # tokens: beyond, packing gains nothing


def layout_function(config: RowsConfig, *, length: int, num_devices: int = 1) -> Layout:
    """The function that makes rows of a batch.

    Args:
      config: Packed or padded.
      length: Tokens of a row, from `row_tokens`.
      num_devices: That share the rows.
    """
    layout = {"padded": pad, "packed": pack}[config.layout]
    return partial(layout, length=length, multiple=num_devices)


def row_tokens(
    config: RowsConfig,
    tokens: TokensConfig,
    *,
    num_completions: int,
    items_a_device: float,
) -> int:
    """The length of a run's rows.

    Args:
      config: Packed or padded, and the length if it is given.
      tokens: The limits of prompts and completions.
      num_completions: Of an item.
      items_a_device: Of a batch.

    Raises:
      UsageError: If the longest item does not fit a row.
    """
    held = 1 if config.layout == "padded" else num_completions
    longest = tokens.max_prompt_tokens + held * tokens.max_completion_tokens
    if config.length is not None:
        if config.length < longest:
            raise UsageError(
                f"rows.length={config.length} does not hold {longest} tokens, the"
                " longest prompt with its completions: raise it or lower tokens.max_*"
            )
        return config.length
    if config.layout == "packed":
        filled = int(longest * items_a_device / _ROWS_A_DEVICE)
        longest = max(longest, min(_WIDE, filled))
    return -(-longest // _MULTIPLE) * _MULTIPLE
