"""Rows of token ids: one fixed shape, so that one compiled step takes them all.

Shape letters beside the glossary: N rows, T tokens of a row.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64

from rlaif_jax.config import TokensConfig
from rlaif_jax.errors import CorruptDataError

Ids = Sequence[int] | np.ndarray

_MULTIPLE = 8  # of every row length: what vector units like


class Example(NamedTuple):
    """A prompt and its completion, as ids."""

    prompt: Ids
    completion: Ids


class Pair(NamedTuple):
    """A prompt and the two sides of a preference, as ids."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


class TokenRows(NamedTuple):
    """Rows with everything that a model and a loss need to know about each token.

    Padding is what `segment_ids` says, whatever its id: a padding id that doubles as
    the end token must not take the end token out of the loss.
    """

    token_ids: Int32[np.ndarray, "*B T"]
    positions: Int32[np.ndarray, "*B T"]  # from 0 in each row; 0 on padding
    segment_ids: Int32[np.ndarray, "*B T"]  # 1 on tokens, 0 on padding
    completion_mask: Bool[np.ndarray, "*B T"]  # True on tokens of the completion


def row_length(config: TokensConfig) -> int:
    """Tokens of every row: room for the longest prompt and completion."""
    longest = config.max_prompt_tokens + config.max_completion_tokens
    return -(-longest // _MULTIPLE) * _MULTIPLE


def sft_rows(examples: Sequence[Example], length: int) -> TokenRows:
    """One row of `length` tokens for each example, padded at its end.

    Raises:
      CorruptDataError: If a completion is empty: its loss would be 0 of nothing.
      ValueError: If an example does not fit.
    """
    prompts = _lengths([example.prompt for example in examples])
    completions = _lengths([example.completion for example in examples])
    totals = prompts + completions
    _require_rows(completions, totals, length)
    columns = np.arange(length, dtype=np.int32)
    filled = columns < totals[:, None]
    token_ids = np.zeros(filled.shape, np.int32)
    ids = chain.from_iterable(chain.from_iterable(examples))
    token_ids[filled] = np.fromiter(ids, np.int32, int(totals.sum()))
    return TokenRows(
        token_ids=token_ids,
        positions=np.where(filled, columns, 0).astype(np.int32),
        segment_ids=filled.astype(np.int32),
        completion_mask=filled & (columns >= prompts[:, None]),
    )


def pair_rows(pairs: Sequence[Pair], length: int) -> TokenRows:
    """Two rows for each pair, [N 2 T]: 0 is the chosen completion, 1 the rejected.

    Raises:
      CorruptDataError: If a completion is empty.
      ValueError: If one does not fit.
    """
    examples = [
        Example(pair.prompt, side)
        for pair in pairs
        for side in (pair.chosen, pair.rejected)
    ]
    rows = sft_rows(examples, length)
    return TokenRows(*(array.reshape(len(pairs), 2, length) for array in rows))


def _lengths(sequences: Sequence[Ids]) -> Int64[np.ndarray, " N"]:
    """How many ids each has."""
    return np.fromiter(map(len, sequences), np.int64, len(sequences))


def _require_rows(
    completions: Int64[np.ndarray, " N"], totals: Int64[np.ndarray, " N"], length: int
) -> None:
    """Refuses rows that teach nothing or do not fit."""
    if (completions == 0).any():
        row = int(np.argmin(completions))
        raise CorruptDataError(
            f"the completion of row {row} is empty: drop such records before training"
        )
    if (totals > length).any():
        row = int(np.argmax(totals))
        raise ValueError(f"row {row} has {totals[row]} tokens, more than {length}")
