"""What steps take by the model: the figures that a compiler gives, from formulas."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from rlaif_jax.models import Params
from rlaif_jax.planning.estimate import Demand, Estimate
from rlaif_jax.planning.exchanges import Exchange, Traffic, link_seconds
from rlaif_jax.planning.layer_memory import Arrays, made
from rlaif_jax.planning.memory_model import MemoryModel, StepMemory
from rlaif_jax.planning.topology import Topology
from rlaif_jax.training.step import TrainState

# How far `memory_model` was from compilers at most, as a share of what they allot, in
# the tables of docs/plan.md: from that for TPUs; for GPUs, from that for CPUs.
MARGINS = {"gpu": 0.15, "tpu": 0.3}


class Moved(NamedTuple):
    """What a step moves.

    Attributes:
      memory: Bytes that a device reads and writes, at least.
      exchanges: Between devices.
    """

    memory: int
    exchanges: list[Exchange]


def told(
    demand: Demand,
    memory: StepMemory,
    moved: Moved,
    mesh: Mapping[str, int],
    topology: Topology,
) -> Estimate:
    """All figures of a step.

    Args:
      demand: What it needs.
      memory: What it takes.
      moved: What it moves.
      mesh: Devices along each axis.
      topology: The devices.
    """
    sent: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for one in moved.exchanges:
        sent[one.kind] += one.sent
        times[one.kind] += one.times
    chip, devices = topology.chip, len(topology.devices)
    return Estimate(
        **demand._asdict(),
        by="model",
        bytes_per_chip=memory.total,
        argument_bytes=memory.argument_bytes,
        temporary_bytes=memory.temporary_bytes,
        fits=memory.total <= topology.memory,
        memory_traffic=moved.memory,
        collective_bytes=dict(sent),
        collective_counts=dict(times),
        compute_s=demand.executed_flops / devices / chip.flops,
        memory_s=moved.memory / chip.memory_rate,
        link_s=link_seconds(moved.exchanges, mesh, topology.links),
    )


class StepModel(NamedTuple):
    """The steps of a run on devices that may be nowhere.

    Attributes:
      memory: What they take.
      topology: The devices.
    """

    memory: MemoryModel
    topology: Topology

    def train(
        self, demand: Demand, state: TrainState, batch: list[Any], frozen: Params
    ) -> Estimate:
        """A step of training; arguments as of `MemoryModel.train`."""
        memory = self.memory.train(state, batch, frozen)
        config, parts = self.memory.config, len(batch)
        again = config.remat not in ("none", "dots")
        passed = self._crossing.passes(
            self.memory.mesh, gathers=2 * parts, streams=(2 + again) * parts
        )
        if not config.lora:  # adapters' gradients are next to nothing
            passed += self._crossing.gradients(self.memory.mesh, parts=parts)
        moved = Moved(self._training_bytes(memory, parts, again=again), passed)
        return self._told(demand, memory, moved)

    def reference(self, demand: Demand) -> Estimate:
        """Scoring one part of a batch."""
        passed = self._crossing.passes(self.memory.mesh, gathers=1, streams=1)
        read = self.memory.whole_weights + 2 * self._made
        return self._told(demand, self.memory.reference(), Moved(read, passed))

    def _told(self, demand: Demand, memory: StepMemory, moved: Moved) -> Estimate:
        return told(demand, memory, moved, self.memory.mesh, self.topology)

    @property
    def _made(self) -> int:
        """Bytes of what all layers make in a forward pass over one part of a batch."""
        share = self.memory.share
        return share.config.num_layers * made(share).bytes_of(share)

    @property
    def _crossing(self) -> Traffic:
        """What crosses between devices."""
        config, share = self.memory.config, self.memory.share
        return Traffic(
            weights=self.memory.whole_weights,
            stream=Arrays(stream=1).bytes_of(share),
            layers=config.num_layers,
            is_mixture=config.num_experts > 0,
        )

    def _training_bytes(self, memory: StepMemory, parts: int, *, again: bool) -> int:
        """What a step of training reads and writes at least.

        Weights are read forward, again if layers are computed again, and backward,
        where their gradients are written; what a layer makes is written and read in
        each forward, and backward it is read, its gradient written and read. The state
        is read and written once.
        """
        weights = self.memory.whole_weights * (3 + again)
        values = self._made * (5 + 2 * again)
        state = memory.arguments["weights"] + memory.arguments["optimizer"]
        return parts * (weights + values) + 2 * state
