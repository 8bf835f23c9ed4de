"""What a compiled program sends between devices."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from rlaif_jax.errors import InternalError
from rlaif_jax.planning.hlo import Instruction, Program
from rlaif_jax.planning.loops import executed

# How often each device sends its share, (n - 1) / n, of the array of all n.
_ROUNDS = {
    "all-gather": 1,
    "reduce-scatter": 1,
    "all-reduce": 2,
    "all-to-all": 1,
    "ragged-all-to-all": 1,
    "collective-broadcast": 1,
}
KINDS = (*_ROUNDS, "collective-permute")


class Collective(NamedTuple):
    """Devices exchanging arrays.

    Attributes:
      kind: One of `KINDS`.
      sent: Bytes that each device sends at a time: (n - 1) / n of an array among n
        devices, and twice that for a sum of which all keep the whole.
      times: How often, in one run.
      group: Devices among which; 2 of a permutation, whoever they are.
      whole: Bytes of the largest array that each has whole afterwards; 0 if none.
      source: The operation of the model that it is for.
    """

    kind: str
    sent: int
    times: int
    group: int
    whole: int
    source: str

    @property
    def total(self) -> int:
        """Bytes that each device sends in one run."""
        return self.sent * self.times

    @property
    def told(self) -> str:
        """What is exchanged, for people."""
        return f"{self.kind} of {self.source or 'a result'}"


def collectives(program: Program, num_devices: int) -> list[Collective]:
    """Every exchange of a program, each once.

    A TPU's compiler spreads one exchange over several fusions, all with its channel,
    to compute meanwhile; some of them may be in a loop that runs more often.

    Args:
      program: Of one device.
      num_devices: That run it.

    Raises:
      InternalError: If the text is not as expected.
    """
    found: dict[str, Collective] = {}
    for one in executed(program):
        for inner in _exchanges(one.instruction, program):
            channel = inner.attribute("channel_id") or inner.name
            known = found.get(channel)
            if known is None or one.times < known.times:
                found[channel] = _collective(inner, one.times, num_devices)
    return list(found.values())


def _exchanges(one: Instruction, program: Program) -> Iterator[Instruction]:
    """The collective itself, or those inside of a fusion."""
    if one.opcode.removesuffix("-start") in KINDS:
        yield one
    elif one.opcode == "fusion":
        inner = program.inside(one)
        for nested in inner.instructions if inner else ():
            yield from _exchanges(nested, program)


def _collective(one: Instruction, times: int, num_devices: int) -> Collective:
    kind = one.opcode.removesuffix("-start")
    group = 2 if kind == "collective-permute" else _group(one, num_devices)
    sizes = [array.num_bytes for array in one.results]
    if one.opcode != kind and kind != "all-reduce":  # operands, results, context
        sizes = sizes[len(one.operands) : 2 * len(one.operands)]
    if kind == "reduce-scatter":  # of which a device keeps a part
        sizes = [size * group for size in sizes]
    sent = sum(sizes)
    if kind != "collective-permute":
        sent = round(_ROUNDS[kind] * sent * (group - 1) / group)
    source = re.search(r'op_name="([^"]*)"', one.text)
    return Collective(
        kind=kind,
        sent=sent,
        times=times,
        group=group,
        whole=max(sizes) if kind in ("all-gather", "all-reduce") else 0,
        source=source.group(1) if source else "",
    )


def _group(one: Instruction, num_devices: int) -> int:
    """Devices that exchange among themselves."""
    text = one.text
    if "replica_groups={}" in text:
        return num_devices
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", text):
        return len(listed.group(1).split(","))
    if counted := re.search(r"replica_groups=\[\d+,(\d+)\]", text):
        return int(counted.group(1))
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", text):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh.group(1)))
        return math.prod(int(sizes[name]) for name in re.findall(r"\w+", mesh.group(2)))
    raise InternalError(
        f"between which devices {one.name} exchanges is not known: please report this"
    )
