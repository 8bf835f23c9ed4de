"""The comparisons that `label` is about, read from their files as they come up."""

import itertools
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Bool, Int

from rlaif_jax.commands.inputs import (
    is_usable,
    require_completions,
    require_splits,
)
from rlaif_jax.record_file import RecordFile, Records, Span
from rlaif_jax.records import Comparison, Completion, Prompt

_MOST_KEPT = 4096  # comparisons made last: those that wait to be sealed


class Compared(NamedTuple):
    """What `label` judges.

    Attributes:
      comparisons: Those of two usable completions.
      splits: Prompt id to its split.
      num_unusable: Comparisons that were left out.
    """

    comparisons: "Comparisons"
    splits: dict[str, str]
    num_unusable: int


class Comparisons(Sequence[Comparison]):
    """Pairs of each prompt's completions, made when they are asked for.

    Texts stay in their files: a few bytes are held for each comparison, and the ones
    made last.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        sides: Sequence[Sequence[Completion]],
        numbers: Int[np.ndarray, " N"],
    ):
        """Some of all pairs.

        Args:
          prompts: In the order of every side.
          sides: Two or more completions of every prompt.
          numbers: Of the pairs, counted prompt by prompt.
        """
        self._prompts = prompts
        self._sides = sides
        self._numbers = numbers
        self._pairs = list(itertools.combinations(range(len(sides)), 2))
        self._made: OrderedDict[int, Comparison] = OrderedDict()

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Comparison]:
        return map(self._comparison, map(int, self._numbers))

    @overload
    def __getitem__(self, index: int) -> Comparison: ...
    @overload
    def __getitem__(self, index: slice) -> "Comparisons": ...
    def __getitem__(self, index: int | slice) -> "Comparison | Comparisons":
        if isinstance(index, int):
            return self._comparison(int(self._numbers[index]))
        part = Comparisons(self._prompts, self._sides, self._numbers[index])
        part._made = self._made
        return part

    def _comparison(self, number: int) -> Comparison:
        """The pair of that number."""
        found = self._made.get(number)
        if found is None:
            place, pair = divmod(number, len(self._pairs))
            first, second = (self._sides[side][place] for side in self._pairs[pair])
            found = Comparison.create(self._prompts[place], first, second)
            self._made[number] = found
            if len(self._made) > _MOST_KEPT:
                self._made.popitem(last=False)
        return found


def read_comparisons(
    prompts: Path, splits: Sequence[str], completions: Sequence[Path]
) -> Compared:
    """Every pair of usable completions of each prompt.

    Args:
      prompts: Prompt records.
      splits: Whose prompts count; all, if empty.
      completions: Two or more files of completion records. One that is named again
        stands for each prompt's next completion in it.

    Raises:
      UsageError: If a file is missing, or lacks a prompt, a split or a completion.
      CorruptDataError: If a line is not a record.
    """
    asked = _read_prompts(prompts, splits)
    read = {
        path: _read_sides(path, asked, completions.count(path))
        for path in dict.fromkeys(completions)
    }
    sides = [
        read[path][completions[:place].count(path)]
        for place, path in enumerate(completions)
    ]
    is_chosen = np.stack(
        [a.is_usable & b.is_usable for a, b in itertools.combinations(sides, 2)], axis=1
    ).reshape(-1)
    return Compared(
        Comparisons(
            asked.prompts,
            [side.completions for side in sides],
            np.flatnonzero(is_chosen),
        ),
        asked.splits,
        int(is_chosen.size - is_chosen.sum()),
    )


class _Asked(NamedTuple):
    """The prompts that count, and for each the place of its id in `splits`."""

    prompts: Records[Prompt]
    numbers: Int[np.ndarray, " P"]
    splits: dict[str, str]


class _Side(NamedTuple):
    """One completion of every prompt, and whether it can be used."""

    completions: Records[Completion]
    is_usable: Bool[np.ndarray, " P"]


def _read_prompts(path: Path, splits: Sequence[str]) -> _Asked:
    """The prompts of the named splits, or all if none is named, in file order."""
    file, found = RecordFile(path, Prompt), set[str]()
    spans: list[Span] = []
    numbers: list[int] = []
    order: dict[str, int] = {}
    split_of: dict[str, str] = {}
    for span, prompt in file.scan():
        found.add(prompt.split)
        if not splits or prompt.split in splits:
            spans.append(span)
            numbers.append(order.setdefault(prompt.prompt_id, len(order)))
            split_of[prompt.prompt_id] = sys.intern(prompt.split)
    require_splits(path, splits, found, is_empty=not spans)
    return _Asked(
        Records(file, np.array(spans, np.int64)), np.array(numbers, np.int64), split_of
    )


def _read_sides(path: Path, asked: _Asked, number: int) -> list[_Side]:
    """The first so many completions of every prompt in a file."""
    file = RecordFile(path, Completion)
    order = {prompt_id: row for row, prompt_id in enumerate(asked.splits)}
    spans = np.full((number, len(order), 2), -1, np.int64)
    is_used = np.zeros((number, len(order)), np.bool_)
    seen = [0] * len(order)
    for span, completion in file.scan():
        row = order.get(completion.prompt_id)
        if row is None or seen[row] == number:
            continue
        spans[seen[row], row] = span
        is_used[seen[row], row] = is_usable(completion)
        seen[row] += 1
    for nth in range(number):
        lacking = np.flatnonzero(spans[nth, asked.numbers, 0] < 0)
        missing = [asked.prompts[int(at)].prompt_id for at in lacking]
        require_completions(path, missing, total=len(asked.prompts), nth=nth)
    return [
        _Side(Records(file, spans[nth, asked.numbers]), is_used[nth, asked.numbers])
        for nth in range(number)
    ]
