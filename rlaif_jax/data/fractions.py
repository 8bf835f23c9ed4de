"""The first part of a file, by position, as the paper takes its 10 %."""

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def leading(items: Sequence[_T], fraction: float) -> Sequence[_T]:
    """The first int(N * fraction) of N items."""
    return items[: int(len(items) * fraction)]
