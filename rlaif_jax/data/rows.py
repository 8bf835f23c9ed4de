"""What a row of tokens is made of: prompts and their completions, as ids."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Ids = Sequence[int] | np.ndarray


class Example(NamedTuple):
    """A prompt and its completion, as ids."""

    prompt: Ids
    completion: Ids


class Pair(NamedTuple):
    """A prompt and the two sides of a preference, as ids."""

    prompt: Ids
    chosen: Ids
    rejected: Ids
