"""What one compiled step takes: memory, operations, exchanges, and time at least."""

import re
import resource
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import jax
from jax.sharding import Sharding
from jax.stages import Compiled, Lowered

from rlaif_jax.errors import InternalError
from rlaif_jax.planning import hlo
from rlaif_jax.planning.memory_traffic import memory_bytes
from rlaif_jax.planning.traffic import Collective, collectives
from rlaif_jax.runtime.chips import Chip
from rlaif_jax.typing import Json

# What was wanted and what there is: of everything, or of temporaries alone.
_REFUSED = re.compile(
    r"(?:Used |\()([\d.]+)([KMGT])(?: of |\) exceeds available HBM \()([\d.]+)([KMGT])"
)
_LARGE = 64 * 2**20  # bytes of an array that should be split, or told of
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Demand(NamedTuple):
    """What a step needs, whoever computes it.

    Attributes:
      name: As `train`.
      flops: That its result needs, by `models.flops`, over all devices.
      executed_flops: With what rematerialization computes again.
      tokens: That it reads or writes, padding left out.
    """

    name: str
    flops: int
    executed_flops: int
    tokens: int


class Step(NamedTuple):
    """A step to compile, for the devices of a topology."""

    demand: Demand
    lowered: Lowered


class Whole(NamedTuple):
    """An array that is not split over the chips."""

    num_bytes: int
    what: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a step takes of each chip.

    Attributes:
      name: Of the step.
      by: Who says so: the compiler, or the model of `planning.modelled`.
      bytes_per_chip: Of memory, at most at a time; if it does not fit, at least.
      argument_bytes: Of that, what it is called with: weights, states, batch.
      temporary_bytes: Of that, what exists only inside.
      host_bytes: What waits in the host's memory.
      fits: Whether a chip's memory takes it, as who says so finds; if the compiler
        refused it, nothing is known of what it moves.
      limit: Bytes that it may take, as the compiler says when it refuses; else 0.
      flops: That the result needs, over all chips.
      executed_flops: With what is computed again.
      memory_traffic: Bytes that a chip reads and writes.
      collective_bytes: That a chip sends, by kind.
      collective_counts: How often.
      whole: The arrays of at least 64 MiB that a chip has whole, though others have
        the same: their bytes, and what they are.
      compute_s: Time for the operations at the chip's peak.
      memory_s: For its memory's traffic.
      link_s: For what it sends within its slice or host, or the links between hosts;
        None if the links' rate is not known.
      network_s: For what it sends to other slices.
      tokens: Of a step.
      compile_s: Of the compiler's time; 0 of the model's.
      host_peak_bytes: Of the compiler's memory, and all that came before.
    """

    name: str
    by: Literal["compiler", "model"]
    bytes_per_chip: int
    argument_bytes: int = 0
    temporary_bytes: int = 0
    host_bytes: int = 0
    fits: bool
    limit: int = 0
    flops: int
    executed_flops: int
    memory_traffic: int = 0
    collective_bytes: dict[str, int] = field(default_factory=dict)
    collective_counts: dict[str, int] = field(default_factory=dict)
    whole: list[Whole] = field(default_factory=list)
    compute_s: float
    memory_s: float = 0.0
    link_s: float | None = 0.0
    network_s: float = 0.0
    tokens: int
    compile_s: float = 0.0
    host_peak_bytes: int = 0

    @property
    def least_seconds(self) -> float:
        """If all went on at once; none can be faster."""
        return max(self._seconds.values())

    @property
    def serial_seconds(self) -> float:
        """If nothing went on at once."""
        return sum(self._seconds.values())

    @property
    def bound_by(self) -> str:
        """What takes the longest."""
        return max(self._seconds, key=lambda name: self._seconds[name])

    @property
    def _seconds(self) -> dict[str, float]:
        """By what takes them."""
        return {
            "operations": self.compute_s,
            "memory": self.memory_s,
            "links": self.link_s or 0.0,
            "network": self.network_s,
        }

    def to_json(self, chip: Chip, chips: int) -> Json:
        """The fields for a file, and what follows from them if it fits.

        Args:
          chip: What each can do.
          chips: How many there are.
        """
        told = asdict(self)
        if not self.fits:
            return told
        return told | {
            "least_seconds": self.least_seconds,
            "serial_seconds": self.serial_seconds,
            "bound_by": self.bound_by,
            "mfu_bound": self.mfu_bound(chip, chips),
            "flops_per_byte": self.intensity(chips),
        }

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
      InternalError: If what it made cannot be read.
    """
    started = time.monotonic()
    compiled = None
    try:
        compiled = step.lowered.compile()
        memory = _laid_out(compiled)
    except jax.errors.JaxRuntimeError as error:
        memory = _refused(error)
    seconds = time.monotonic() - started
    return Estimate(
        **step.demand._asdict(),
        by="compiler",
        fits=compiled is not None,
        compute_s=step.demand.executed_flops / chips / chip.flops,
        compile_s=seconds,
        host_peak_bytes=_peak_rss(),
        **memory,
        **(_moved(compiled, chip, chips) if compiled else {}),
    )


def _laid_out(compiled: Compiled) -> dict[str, int]:
    """The memory of a chip, as the compiler has laid it out."""
    memory: Any = compiled.memory_analysis()
    given, temporary = memory.argument_size_in_bytes, memory.temp_size_in_bytes
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    program = memory.generated_code_size_in_bytes
    return {
        "bytes_per_chip": given + temporary + max(0, results) + program,
        "argument_bytes": given,
        "temporary_bytes": temporary,
        "host_bytes": memory.host_temp_size_in_bytes,
    }


def _refused(error: Exception) -> dict[str, int]:
    """What a step would take and what it may, as the compiler says.

    Raises:
      JaxRuntimeError: The error itself, if it is another.
    """
    found = _REFUSED.search(str(error))
    if found is None:
        raise error
    used, its_unit, limit, unit = found.groups()
    return {
        "bytes_per_chip": int(float(used) * _UNITS[its_unit]),
        "limit": int(float(limit) * _UNITS[unit]),
    }


def _moved(compiled: Compiled, chip: Chip, chips: int) -> dict[str, Any]:
    """What goes between chips, and to and from the memory of one."""
    assert chip.link_rate is not None  # of every chip of a topology
    program = hlo.parse(compiled.as_text() or "")
    exchanges = collectives(program, chips)
    sent: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for one in exchanges:
        sent[one.kind] += one.total
        counts[one.kind] += one.times
    traffic = memory_bytes(program)
    far = sum(one.total for one in exchanges if one.is_between_slices)
    if far and chip.network_rate is None:
        raise InternalError("how fast these slices are joined is not known")
    return {
        "memory_traffic": traffic,
        "collective_bytes": dict(sent),
        "collective_counts": dict(counts),
        "whole": _whole(compiled, exchanges, chips),
        "memory_s": traffic / chip.memory_rate,
        "link_s": (sum(sent.values()) - far) / chip.link_rate,
        "network_s": far / chip.network_rate if chip.network_rate else 0.0,
    }


def _whole(compiled: Compiled, exchanges: list[Collective], chips: int) -> list[Whole]:
    """Large arrays that are not split, the largest first, each kind of them once."""
    if chips == 1:
        return []
    found: set[Whole] = set()

    def add(path: tuple[Any, ...], leaf: Any, sharding: Sharding | None) -> None:
        # an argument that nothing reads has no sharding
        if sharding is not None and sharding.is_fully_replicated:
            name = jax.tree_util.keystr(path)
            found.add(Whole(leaf.size * leaf.dtype.itemsize, f"argument {name}"))

    jax.tree_util.tree_map_with_path(
        add, compiled.in_avals[0], compiled.input_shardings[0]
    )
    found |= {Whole(one.whole, one.told) for one in exchanges}
    return sorted((one for one in found if one.num_bytes >= _LARGE), reverse=True)


def _peak_rss() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
