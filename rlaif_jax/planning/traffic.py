"""What a compiled program moves: between devices, and to and from their memory."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from rlaif_jax.planning.hlo import Computation, Executed, Instruction, Program

KINDS = (
    "all-gather",
    "reduce-scatter",
    "all-reduce",
    "all-to-all",
    "collective-permute",
)
_MAIN = 0  # memory space
# What makes no array, or only another name for one.
_FREE = frozenset(
    {
        "parameter",
        "constant",
        "tuple",
        "get-tuple-element",
        "bitcast",
        "while",
        "call",
        "conditional",
        "copy-done",
        "slice-done",
        "async-done",
        "after-all",
        "partition-id",
        "replica-id",
        "iota",
    }
)


class Collective(NamedTuple):
    """Devices exchanging arrays.

    Attributes:
      kind: One of `KINDS`.
      sent: Bytes that each device sends at a time, by an algorithm that sends no more
        than it must: (n - 1) / n of an array among n devices, twice for a sum of
        which all keep the whole.
      times: How often, in one run.
      group: Devices among which.
      source: The operation of the model that it is for.
    """

    kind: str
    sent: int
    times: int
    group: int
    source: str

    @property
    def total(self) -> int:
        """Bytes that each device sends in one run."""
        return self.sent * self.times


def collectives(program: Program) -> list[Collective]:
    """Every exchange of a program, each once.

    A TPU's compiler spreads one exchange over several fusions, all with its channel,
    to compute meanwhile; some of them may be in a loop that runs more often.
    """
    found: dict[str, Collective] = {}
    for one in program.executed():
        for inner in _exchanges(one.instruction, program):
            channel = inner.attribute("channel_id") or inner.name
            known = found.get(channel)
            if known is None or one.times < known.times:
                found[channel] = _collective(inner, one.times)
    return list(found.values())


def memory_bytes(program: Program) -> int:
    """Bytes that a device reads from and writes to its main memory in one run.

    What lies in a faster memory, as layouts say, is not counted; of an array that only
    a slice is read or written of, the slice is.
    """
    return sum(_moved(one, program) * one.times for one in program.executed())


def _exchanges(one: Instruction, program: Program) -> Iterator[Instruction]:
    """The collective itself, or those inside of a fusion."""
    if one.opcode.removesuffix("-start") in KINDS:
        yield one
    elif one.opcode == "fusion":
        inner = program.inside(one)
        for nested in inner.instructions if inner else ():
            yield from _exchanges(nested, program)


def _collective(one: Instruction, times: int) -> Collective:
    kind = one.opcode.removesuffix("-start")
    group = _group(one)
    if one.opcode == kind:
        size = sum(array.num_bytes for array in one.results)
    else:  # its result names the operand, too
        size = max(array.num_bytes for array in one.results)
    others = (group - 1) / group
    share = {
        "all-reduce": 2 * others,
        "reduce-scatter": group - 1,
        "collective-permute": 1,
    }.get(kind, others)
    source = re.search(r'op_name="([^"]*)"', one.text)
    return Collective(
        kind, round(size * share), times, group, source.group(1) if source else ""
    )


def _group(one: Instruction) -> int:
    """Devices that exchange among themselves."""
    text = one.text
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", text):
        return len(listed.group(1).split(","))
    if counted := re.search(r"replica_groups=\[\d+,(\d+)\]", text):
        return int(counted.group(1))
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", text):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh.group(1)))
        return math.prod(int(sizes[name]) for name in re.findall(r"\w+", mesh.group(2)))
    return 2  # of pairs, each sends to one


def _moved(one: Executed, program: Program) -> int:
    """Bytes of one run of an instruction."""
    instruction, within = one.instruction, one.computation
    opcode = instruction.opcode
    if opcode in _FREE or opcode.endswith("-done"):
        return 0
    inner = program.inside(instruction) if opcode == "fusion" else None
    read = 0
    for number, name in enumerate(instruction.operands):
        made = within.by_name.get(name)
        if made is None:
            continue
        whole = _main_bytes(made)
        read += min(whole, _part_read(instruction, inner, number, whole))
    return read + _written(instruction, inner, within)


def _part_read(
    one: Instruction, inner: Computation | None, number: int, whole: int
) -> int:
    """How much of an operand is read, if it lies in the main memory."""
    if one.opcode in ("dynamic-slice", "slice", "slice-start", "gather"):
        return sum(array.num_bytes for array in one.results) if number == 0 else whole
    if one.opcode == "dynamic-update-slice":
        return 0 if number == 0 else whole
    if inner is None:
        return whole
    parameter = next(
        (
            each
            for each in inner.instructions
            if each.opcode == "parameter" and each.text.startswith(f"{number})")
        ),
        None,
    )
    if parameter is None:
        return whole
    users = [each for each in inner.instructions if parameter.name in each.operands]
    if all(
        user.opcode in ("dynamic-slice", "dynamic-update-slice")
        and user.operands[0] == parameter.name
        for user in users
    ):
        return sum(
            sum(array.num_bytes for array in user.results)
            for user in users
            if user.opcode == "dynamic-slice"
        )
    return whole


def _written(one: Instruction, inner: Computation | None, within: Computation) -> int:
    """Bytes of the results that lie in the main memory."""
    if one.opcode == "dynamic-update-slice":
        return _main_bytes(within.by_name[one.operands[1]])
    if one.opcode.endswith("-start"):  # operand, result and context
        return one.results[0].num_bytes if one.results[0].space == _MAIN else 0
    if inner is not None and inner.root.opcode == "dynamic-update-slice":
        update = inner.by_name[inner.root.operands[1]]
        return sum(array.num_bytes for array in update.results)
    return _main_bytes(one)


def _main_bytes(one: Instruction) -> int:
    """Of an instruction's results, those in the device's main memory."""
    return sum(array.num_bytes for array in one.results if array.space == _MAIN)
