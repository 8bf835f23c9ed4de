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
# Names that a TPU's compiler gives to what is called, or to the fusion itself.
_GOES_ON = re.compile(r"%?async_collective_fusion")
_ENDS = re.compile(r"%?async-collective-done")
_SCATTERS = re.compile(r"%?all-reduce-scatter")


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

    A TPU's compiler spreads one exchange over several fusions, to compute meanwhile,
    some of them in loops: it counts where it begins. Channels tell nothing: several
    exchanges share one.

    Args:
      program: Of one device.
      num_devices: That run it.

    Raises:
      InternalError: If the text is not as expected.
    """
    return [
        _collective(inner, one.times, num_devices, is_scattered=is_scattered)
        for one in executed(program)
        for inner, is_scattered in _exchanges(one.instruction, program)
    ]


def _exchanges(
    one: Instruction, program: Program
) -> Iterator[tuple[Instruction, bool]]:
    """The collective itself, or those inside of a fusion that begins one.

    With each, whether it is a sum of which a device keeps a part: what other compilers
    call a reduce-scatter is here a fusion of a sum and a slice, run as a ring that
    sends as much as the former (its `emitter` is an AllReduceScatterFusion).
    """
    if one.opcode.removesuffix("-start") in KINDS:
        yield one, False
        return
    called = one.attribute("calls") or ""
    goes_on = _GOES_ON.match(called) or _ENDS.match(one.name)
    if one.opcode != "fusion" or goes_on:
        return
    is_scattered = _SCATTERS.match(called) is not None
    inner = program.inside(one)
    for nested in inner.instructions if inner else ():
        for found, _ in _exchanges(nested, program):
            yield found, is_scattered and found.opcode == "all-reduce"


def _collective(
    one: Instruction, times: int, num_devices: int, *, is_scattered: bool
) -> Collective:
    kind = one.opcode.removesuffix("-start")
    group = 2 if kind == "collective-permute" else _group(one, num_devices)
    sizes = [array.num_bytes for array in one.results]
    if one.opcode != kind and kind != "all-reduce":  # operands, results, context
        sizes = sizes[len(one.operands) : 2 * len(one.operands)]
    if is_scattered:
        kind = "reduce-scatter"
    elif kind == "reduce-scatter":  # of which a device keeps a part
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
