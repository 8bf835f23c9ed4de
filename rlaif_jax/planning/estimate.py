"""What one compiled step takes: memory, operations, exchanges, and time at least."""

import re
import resource
import time
from dataclasses import dataclass, field
from typing import Any

import jax
from jax.stages import Lowered

from rlaif_jax.planning import hlo
from rlaif_jax.planning.traffic import collectives, memory_bytes
from rlaif_jax.runtime.chips import Chip

_REFUSED = re.compile(r"Used ([\d.]+)([KMG]) of ([\d.]+)([KMG]) hbm")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step to compile.

    Attributes:
      name: As `train`.
      lowered: For the devices of a topology.
      flops: That its result needs, by `models.flops`, over all devices.
      executed_flops: With what rematerialization computes again.
      tokens: That it reads or writes, padding left out.
    """

    name: str
    lowered: Lowered
    flops: int
    executed_flops: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a step takes of each chip.

    Attributes:
      name: Of the step.
      bytes_per_chip: Of memory, at most at a time.
      argument_bytes: Of that, what it is called with: weights, states, batch.
      temporary_bytes: Of that, what exists only inside.
      host_bytes: What waits in the host's memory.
      fits: Whether the compiler took it.
      flops: That the result needs, over all chips.
      executed_flops: With what is computed again.
      memory_traffic: Bytes that a chip reads and writes.
      collective_bytes: That a chip sends, by kind.
      collective_counts: How often.
      compute_s: Time for the operations at the chip's peak.
      memory_s: For its memory's traffic.
      link_s: For what it sends.
      tokens: Of a step.
      compile_s: Of the compiler's time.
      host_peak_bytes: Of the compiler's memory, and all that came before.
    """

    name: str
    bytes_per_chip: int
    argument_bytes: int = 0
    temporary_bytes: int = 0
    host_bytes: int = 0
    fits: bool
    flops: int
    executed_flops: int
    memory_traffic: int = 0
    collective_bytes: dict[str, int] = field(default_factory=dict)
    collective_counts: dict[str, int] = field(default_factory=dict)
    compute_s: float
    memory_s: float = 0.0
    link_s: float = 0.0
    tokens: int
    compile_s: float
    host_peak_bytes: int

    @property
    def least_seconds(self) -> float:
        """If all three went on at once; none can be faster."""
        return max(self.compute_s, self.memory_s, self.link_s)

    @property
    def serial_seconds(self) -> float:
        """If nothing went on at once."""
        return self.compute_s + self.memory_s + self.link_s

    @property
    def bound_by(self) -> str:
        """What takes the longest."""
        times = {
            "operations": self.compute_s,
            "memory": self.memory_s,
            "links": self.link_s,
        }
        return max(times, key=lambda name: times[name])

    def mfu_bound(self, chip: Chip, chips: int) -> float:
        """The most of the chips' peak that the needed operations can take."""
        return self.flops / (self.least_seconds * chips * chip.flops)

    def intensity(self, chips: int) -> float:
        """Operations of a chip for each byte of its memory's traffic."""
        return self.executed_flops / chips / max(1, self.memory_traffic)


def estimate(step: Step, chip: Chip, chips: int) -> Estimate:
    """Compiles a step and reads what the compiler made of it.

    Args:
      step: For devices of one kind.
      chip: What each can do.
      chips: How many there are.

    Raises:
      JaxRuntimeError: If the compiler fails otherwise than for lack of memory.
    """
    started = time.monotonic()
    compute_s = step.executed_flops / chips / chip.flops
    try:
        compiled = step.lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        return Estimate(
            name=step.name,
            bytes_per_chip=_bytes_refused(error),
            fits=False,
            flops=step.flops,
            executed_flops=step.executed_flops,
            compute_s=compute_s,
            tokens=step.tokens,
            compile_s=time.monotonic() - started,
            host_peak_bytes=_peak_rss(),
        )
    seconds = time.monotonic() - started
    memory: Any = compiled.memory_analysis()
    program = hlo.parse(compiled.as_text() or "")
    traffic = memory_bytes(program)
    sent: dict[str, int] = {}
    counts: dict[str, int] = {}
    for one in collectives(program):
        sent[one.kind] = sent.get(one.kind, 0) + one.total
        counts[one.kind] = counts.get(one.kind, 0) + one.times
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return Estimate(
        name=step.name,
        bytes_per_chip=memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + max(0, results)
        + memory.generated_code_size_in_bytes,
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        host_bytes=memory.host_temp_size_in_bytes,
        fits=True,
        flops=step.flops,
        executed_flops=step.executed_flops,
        memory_traffic=traffic,
        collective_bytes=sent,
        collective_counts=counts,
        compute_s=compute_s,
        memory_s=traffic / chip.memory_rate,
        link_s=sum(sent.values()) / chip.link_rate if chip.link_rate else 0.0,
        tokens=step.tokens,
        compile_s=seconds,
        host_peak_bytes=_peak_rss(),
    )


def _bytes_refused(error: Exception) -> int:
    """What a step would take, as the compiler says when it refuses it.

    Raises:
      The error itself, if it is another.
    """
    found = _REFUSED.search(str(error))
    if found is None:
        raise error
    return int(float(found.group(1)) * _UNITS[found.group(2)])


def _peak_rss() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
