"""Several examples or pairs in one row of tokens, each prompt written once.

A row holds items one after the other, each as `prompt | completion | completion ...`:
one completion of an example, two of a pair. Positions, segments and branches tell
attention what it may read, so that every completion is computed as if it stood alone
behind its prompt. Shape letters beside the glossary: R rows, T tokens of a row, C
completion slots of a row, N items, A completions of an item.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from rlaif_jax.errors import CorruptDataError

_STEPS_AN_OCTAVE = 4  # of row counts: at most a fifth of the rows are empty
_SLOTS = 8  # possible numbers of completion slots


Ids = Sequence[int] | np.ndarray
OwnRows = Callable[[int], slice]  # of so many rows, those that a process provides


class Example(NamedTuple):
    """A prompt and its completion, as ids."""

    prompt: Ids
    completion: Ids


class Pair(NamedTuple):
    """A prompt and the two sides of a preference, as ids."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


class PackedRows(NamedTuple):
    """Rows, and the completion tokens in them.

    A slot is one completion token: it stands at `places` of its row, and the state at
    `sources` predicts it.
    """

    token_ids: Int32[np.ndarray, "R T"]
    positions: Int32[np.ndarray, "R T"]  # within prompt and completion
    segment_ids: Int32[np.ndarray, "R T"]  # of the item, from 1 in each row; 0 padding
    branches: Int32[np.ndarray, "R T"] | None  # 0 in prompts, then 1, 2 by completion
    sources: Int32[np.ndarray, "R C"]
    places: Int32[np.ndarray, "R C"]
    targets: Int32[np.ndarray, "R C"]
    sequences: Int32[np.ndarray, "R C"]  # item * A + completion; N * A in no one's slot
    lengths: Int32[np.ndarray, "N A"]  # of the completions


class Capacity(NamedTuple):
    """The size of the arrays."""

    rows: int
    length: int
    slots: int  # of completion tokens in a row


class Plan(NamedTuple):
    """Where items go, and what that takes at least; `lay_out` makes it rows."""

    items: Sequence[Sequence[Ids]]
    members: list[list[int]]  # items of each row, in their order
    needed: Capacity
    num_completions: int  # of what one wants to score together: 2 of a pair


def best_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Items by row: each, longest first, where the least room would be left.

    Best-fit decreasing (Johnson 1974): never more than 11/9 of the fewest rows, plus
    one.

    Args:
      sizes: Tokens of each item.
      length: Of a row.

    Returns:
      The items of each row, in their order.

    Raises:
      ValueError: If an item does not fit.
    """
    rows: list[list[int]] = []
    rooms: list[int] = []  # that rows have left, ascending, each once
    holders: dict[int, list[int]] = {}  # rows with so much room, as a heap: first first
    for item in np.argsort(-np.asarray(sizes), kind="stable").tolist():
        size = sizes[item]
        if size > length:
            raise ValueError(f"item {item} has {size} tokens, more than {length}")
        least = bisect_left(rooms, size)
        if least == len(rooms):
            row, room = len(rows), length
            rows.append([])
        else:
            room = rooms[least]
            row = heappop(holders[room])
            if not holders[room]:
                del holders[room], rooms[least]
        rows[row].append(item)
        left = room - size
        if left not in holders:
            holders[left] = []
            insort(rooms, left)
        heappush(holders[left], row)
    return [sorted(row) for row in rows]


def plan_packed(
    items: Sequence[Sequence[Ids]], *, length: int, multiple: int = 1
) -> Plan:
    """Items in as few rows as best fit finds.

    The numbers of rows and slots are rounded up to few sizes, so that a run compiles
    few shapes; they depend on these items alone.

    Args:
      items: Each a prompt and its completions, equally many everywhere.
      length: Tokens of a row.
      multiple: Of the number of rows: the devices that share them.

    Raises:
      CorruptDataError: If a prompt or completion is empty.
      ValueError: If an item does not fit, or they differ in completions.
    """
    sizes = _lengths(items)
    rows = best_fit(sizes.sum(axis=1).tolist(), length)
    row_of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    slots = np.bincount(row_of, sizes[np.concatenate(rows), 1:].sum(axis=1)).max()
    needed = Capacity(_rounded(len(rows), multiple), length, _slots(int(slots), length))
    return Plan(items, rows, needed, sizes.shape[1] - 1)


def plan_padded(
    items: Sequence[Sequence[Ids]], *, length: int, multiple: int = 1
) -> Plan:
    """One row for each completion, with its prompt: the plain layout.

    Args:
      items: As for `plan_packed`.
      length: Tokens of a row.
      multiple: Of the number of rows, as for `plan_packed`; the last ones may be empty.

    Raises:
      CorruptDataError: If a prompt or completion is empty.
      ValueError: If a prompt and completion do not fit, or items differ in
        completions.
    """
    num_completions = _lengths(items).shape[1] - 1
    alone = [[item[0], side] for item in items for side in item[1:]]
    sizes = _lengths(alone)
    if (sizes.sum(axis=1) > length).any():
        row = int(np.argmax(sizes.sum(axis=1)))
        raise ValueError(f"row {row} has {sizes[row].sum()} tokens, more than {length}")
    slots = _slots(int(sizes[:, 1].max()), length)
    num_rows = -(-len(alone) // multiple) * multiple
    members = [[row] for row in range(len(alone))]
    return Plan(alone, members, Capacity(num_rows, length, slots), num_completions)


def lay_out(plans: Sequence[Plan], own: OwnRows = slice) -> list[PackedRows]:
    """The rows of each plan, all of the same shape.

    Args:
      plans: Of the parts of a batch.
      own: Which of so many rows are made, all by default. Lengths are always those of
        all items.
    """
    needed = zip(*(plan.needed for plan in plans), strict=True)
    capacity = Capacity(*map(max, needed))
    return [_filled(plan, capacity, own(capacity.rows)) for plan in plans]


def pack(
    items: Sequence[Sequence[Ids]], *, length: int, multiple: int = 1
) -> PackedRows:
    """The rows of `plan_packed`."""
    return lay_out([plan_packed(items, length=length, multiple=multiple)])[0]


def pad(
    items: Sequence[Sequence[Ids]], *, length: int, multiple: int = 1
) -> PackedRows:
    """The rows of `plan_padded`."""
    return lay_out([plan_padded(items, length=length, multiple=multiple)])[0]


def fill(rows: PackedRows) -> float:
    """The share of the rows' places that hold tokens."""
    return float(np.mean(rows.segment_ids > 0))


def _filled(plan: Plan, capacity: Capacity, own: slice) -> PackedRows:
    """The arrays of some rows, with each item where it belongs."""
    items, sizes = plan.items, _lengths(plan.items)
    num_completions = sizes.shape[1] - 1
    made = capacity._replace(rows=len(range(capacity.rows)[own]))
    lines = _empty(made, no_one=len(items) * num_completions)
    for row, members in enumerate(plan.members[own]):
        line = _Line(*(array[row] for array in lines))
        start, slot = 0, 0
        for segment, item in enumerate(members, 1):
            _put_prompt(line, items[item][0], start, segment)
            prompt_end = end = start + int(sizes[item, 0])
            for branch, completion in enumerate(items[item][1:], 1):
                place = _Place(start, prompt_end, end, slot)
                _put_completion(line, completion, place, (segment, branch))
                number = item * num_completions + branch - 1
                line.sequences[slot : slot + len(completion)] = number
                end += len(completion)
                slot += len(completion)
            start = end
    lengths = sizes[:, 1:].astype(np.int32).reshape(-1, plan.num_completions)
    packed = PackedRows(*lines, lengths=lengths)
    return packed if num_completions > 1 else packed._replace(branches=None)


class _Line(NamedTuple):
    """One row of a `PackedRows`, or all of them, to be written into."""

    token_ids: Int32[np.ndarray, "*R T"]
    positions: Int32[np.ndarray, "*R T"]
    segment_ids: Int32[np.ndarray, "*R T"]
    branches: Int32[np.ndarray, "*R T"]
    sources: Int32[np.ndarray, "*R C"]
    places: Int32[np.ndarray, "*R C"]
    targets: Int32[np.ndarray, "*R C"]
    sequences: Int32[np.ndarray, "*R C"]


def _empty(capacity: Capacity, *, no_one: int) -> _Line:
    """Rows of padding, whose slots are no one's."""
    tokens = (capacity.rows, capacity.length)
    slots = (capacity.rows, capacity.slots)
    return _Line(
        *(np.zeros(tokens, np.int32) for _ in range(4)),
        *(np.zeros(slots, np.int32) for _ in range(3)),
        sequences=np.full(slots, no_one, np.int32),
    )


class _Place(NamedTuple):
    """Where in a row a completion goes."""

    start: int  # of its prompt
    prompt_end: int
    at: int
    slot: int


def _put_prompt(line: _Line, prompt: Ids, start: int, segment: int) -> None:
    """Writes a prompt into a row."""
    where = slice(start, start + len(prompt))
    line.token_ids[where] = prompt
    line.positions[where] = np.arange(len(prompt))
    line.segment_ids[where] = segment


def _put_completion(
    line: _Line, completion: Ids, place: _Place, branch: tuple[int, int]
) -> None:
    """Writes a completion into a row, and its tokens into the row's slots."""
    size = len(completion)
    where = slice(place.at, place.at + size)
    line.token_ids[where] = completion
    first = place.prompt_end - place.start
    line.positions[where] = np.arange(first, first + size)
    line.segment_ids[where], line.branches[where] = branch
    slots = slice(place.slot, place.slot + size)
    line.targets[slots] = completion
    line.places[slots] = np.arange(place.at, place.at + size)
    # the prompt's last state predicts the first token of every completion
    line.sources[slots] = np.arange(place.at - 1, place.at + size - 1)
    line.sources[place.slot] = place.prompt_end - 1


def _lengths(items: Sequence[Sequence[Ids]]) -> Int64[np.ndarray, "N S"]:
    """Tokens of each prompt and completion."""
    counts = set(map(len, items))
    if len(counts) != 1:
        raise ValueError(f"items with different numbers of completions: {counts}")
    parts = map(len, chain.from_iterable(items))
    sizes = np.fromiter(parts, np.int64).reshape(len(items), -1)
    if not sizes.all():
        item, part = np.argwhere(sizes == 0)[0].tolist()
        what = f"completion {part}" if part else "prompt"
        raise CorruptDataError(
            f"the {what} of record {item} of a batch is empty: drop such records"
            " before training"
        )
    return sizes


def _rounded(rows: int, multiple: int) -> int:
    """A number of rows from few: up by a quarter of an octave at most."""
    groups = -(-rows // multiple)
    step = max(1, 2 ** (groups.bit_length() - 1) // _STEPS_AN_OCTAVE)
    return -(-groups // step) * step * multiple


def _slots(slots: int, length: int) -> int:
    """A number of slots from few."""
    step = -(-length // _SLOTS)
    return -(-slots // step) * step
