"""What a step needs of a device's memory, known once it is compiled."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import jax
from jax.sharding import Mesh
from jax.stages import Compiled

from rlaif_jax.data.packing import PackedRows
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.runtime.platform import host_bytes, memory_limit
from rlaif_jax.training.scoring import logits_bytes
from rlaif_jax.training.step import Batch, TrainState
from rlaif_jax.typing import Json

_GIB, _MIB = 2**30, 2**20
_WORDS = {
    "weights": "weights",
    "frozen": "frozen weights",
    "optimizer": "optimizer",
    "batch": "batch",
    "beside": "reference, start model",
    "gradients": "gradients",
    "logits": "logits",
    "activations": "activations, workspace",
    "program": "program",
}


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """The bytes of one device while a step runs.

    Attributes:
      weights: That are trained.
      frozen: Under adapters.
      optimizer: Its statistics, and counters.
      batch: Of this step.
      beside: Arrays that the step leaves alone, as the start model's.
      gradients: Of the weights, unless the compiler has found a way around them.
      logits: Of one chunk of the head.
      activations: All other temporaries.
      program: Its code, and results that reuse no argument's memory.
      host: What layers keep in the host's memory.
      limit: That the device has; None if it has no memory of its own.
      shared: The host's memory over its devices, which those without their own use.
    """

    weights: int
    frozen: int
    optimizer: int
    batch: int
    beside: int
    gradients: int
    logits: int
    activations: int
    program: int
    host: int
    limit: int | None
    shared: int

    @classmethod
    def of(
        cls,
        compiled: Compiled,
        arguments: tuple[TrainState, Batch, Params],
        *,
        config: TransformerConfig,
        mesh: Mesh,
    ) -> "MemoryPlan":
        """The plan of a compiled step, as XLA has laid it out.

        Args:
          compiled: The step.
          arguments: What it is about to be called with: the state, the batch, and the
            parameters that are not trained.
          config: The architecture.
          mesh: The devices, which are all alike.
        """
        device = mesh.local_devices[0]
        memory: Any = compiled.memory_analysis()
        state, batch, frozen = arguments
        weights = _bytes_here(state.params)
        given = memory.argument_size_in_bytes
        temporary = memory.temp_size_in_bytes
        gradients = min(weights, temporary)
        logits = min(_logits(config, batch), temporary - gradients)
        results = memory.output_size_in_bytes - memory.alias_size_in_bytes
        return cls(
            weights=weights,
            frozen=_bytes_here(frozen),
            optimizer=_bytes_here(state) - weights,
            batch=max(0, given - _bytes_here((state, frozen))),
            beside=max(0, _live_bytes(device) - _bytes_here(arguments)),
            gradients=gradients,
            logits=logits,
            activations=temporary - gradients - logits,
            program=memory.generated_code_size_in_bytes + max(0, results),
            host=memory.host_temp_size_in_bytes,
            limit=memory_limit(device),
            shared=host_bytes() // jax.local_device_count(),
        )

    @property
    def peak(self) -> int:
        """All that is on the device at once."""
        return sum(getattr(self, name) for name in _WORDS)

    @property
    def fits(self) -> bool:
        """False only if it is certain that the device has less."""
        return self.limit is None or self.peak <= self.limit

    def to_json(self) -> Json:
        """The plan for a file, with its peak."""
        return asdict(self) | {"peak": self.peak}

    @classmethod
    def from_json(cls, document: Json) -> "MemoryPlan":
        """The plan that `to_json` wrote."""
        return cls(**{k: v for k, v in document.items() if k != "peak"})

    def table(self) -> str:
        """The plan for people, a line a part."""
        size, unit = (_GIB, "GiB") if self.peak >= _GIB else (_MIB, "MiB")
        parts = [(_WORDS[name], getattr(self, name)) for name in _WORDS]
        shown = [(word, f"{n / size:.2f}") for word, n in parts]
        lines = [f"  {word:24}{text:>10}" for word, text in shown if text != "0.00"]
        if self.limit is None:
            bound = f"{self.shared / size:.2f}, a device's share of the host"
        else:
            bound = f"{self.limit / size:.2f}"
        lines.append(f"  {'in all':24}{self.peak / size:10.2f} of {bound}")
        if self.host:
            lines.append(f"  {'in the host':24}{self.host / size:10.2f}")
        return "\n".join([f"memory of a device in a step, {unit}:", *lines])


def advice(plan: MemoryPlan | None, remat: str) -> str:
    """What to change for a step that does not fit.

    Args:
      plan: If the step could be compiled.
      remat: The run's `model.remat`.
    """
    limit = plan.limit if plan else None
    smaller = "more microbatches, a smaller batch_size or rows.length"
    if remat not in ("full", "offload"):
        smaller = f"model.remat=full, {smaller}"
    elif remat == "full":
        smaller = f"model.remat=offload, {smaller}"
    state = (
        "optimizer.moments=int8, optimizer.weights=bfloat16, a larger mesh.fsdp on more"
        " devices, or lora"
    )
    if plan is not None and limit is not None:
        fixed = plan.peak - plan.activations - plan.logits - plan.batch
        if fixed > limit:
            return f"without any activation it does not fit: use {state}"
        return f"try {smaller}"
    return f"try {smaller}, {state}"


def _logits(config: TransformerConfig, batch: Batch) -> int:
    """One chunk's, of the rows that a batch or the first of its parts holds."""
    parts = jax.tree.leaves(batch, is_leaf=lambda part: isinstance(part, PackedRows))
    rows = next((part for part in parts if isinstance(part, PackedRows)), None)
    if rows is None or config.head != "tokens":
        return 0
    return logits_bytes(config, rows)


def _bytes_here(tree: Any) -> int:
    """Of one device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _live_bytes(device: Any) -> int:
    """Of all arrays that a device holds; one that two arrays share counts once."""
    found: dict[int, int] = {}
    for array in jax.live_arrays():
        if array.is_deleted() or array.sharding.memory_kind == "pinned_host":
            continue
        for shard in array.addressable_shards:
            if shard.device == device and shard.data.nbytes:
                found[shard.data.unsafe_buffer_pointer()] = shard.data.nbytes
    return sum(found.values())
