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
# Between slices, hosts exchange what their chips hand over: of n slices, each chip's
# share of what it hands over that crosses the network, by what is done with it.
_BETWEEN = {
    "ALL_REDUCE": lambda n: 2 * (n - 1) / n,
    "REDUCE_SCATTER": lambda n: (n - 1) / n,
    "ALL_TO_ALL": lambda n: (n - 1) / n,
    "ALL_GATHER": lambda n: n - 1,
    "ONE_TO_ONE": lambda n: 1,
}
# Names that a TPU's compiler gives to what is called, or to the fusion itself.
_GOES_ON = re.compile(r"%?async_collective_fusion")
_ENDS = re.compile(r"%?async-collective-done")
_SCATTERS = re.compile(r"%?all-reduce-scatter")


class Collective(NamedTuple):
    """Devices exchanging arrays.

    Attributes:
      kind: One of `KINDS`; or, over the network that joins slices, what it is called
        there, as ALL_REDUCE.
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
    def is_between_slices(self) -> bool:
        """Whether it takes the data-center network, not the links of a slice."""
        return self.kind in _BETWEEN

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
    found: list[Collective] = []
    for one in executed(program):
        if one.instruction.opcode == "send":
            found.append(_between_slices(one.instruction, one.times))
        for inner, is_scattered in _exchanges(one.instruction, program):
            found.append(
                _collective(inner, one.times, num_devices, is_scattered=is_scattered)
            )
    return found


def _between_slices(one: Instruction, times: int) -> Collective:
    """What a chip hands to its host for the other slices."""
    kind = re.search(r'_xla_megascale_transfer_type="(\w+)"', one.text)
    slices = re.search(r'_xla_megascale_target="\{([\d,]+)\}', one.text)
    if kind is None or kind.group(1) not in _BETWEEN:
        raise InternalError(f"what {one.name} sends where is not known")
    count = len(slices.group(1).split(",")) if slices else 2  # pairs of chips
    share = _BETWEEN[kind.group(1)](count)
    return Collective(
        kind=kind.group(1),
        sent=round(share * one.results[0].num_bytes),
        times=times,
        group=count,
        whole=0,
        source="",
    )


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
