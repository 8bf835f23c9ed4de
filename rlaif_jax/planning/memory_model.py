"""What a step takes of a device's memory, by formulas: no compiler, milliseconds.

Arguments follow exactly from shapes and shardings. Temporaries are those of the step's
most demanding phase: layers forward, the head, layers backward, or the update.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from rlaif_jax.data.packing import PackedRows
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.models.precision import wide
from rlaif_jax.planning.device_share import DeviceShare
from rlaif_jax.planning.layer_memory import backward_work, forward_work, kept
from rlaif_jax.sharding.rules import FSDP_TENSOR
from rlaif_jax.training.scoring import logits_bytes
from rlaif_jax.training.step import TrainState

_EXACT = 4  # bytes of a float32


@dataclass(frozen=True)
class Compiler:
    """What compilers do differently, by platform.

    Attributes:
      copies_statistics: Whether a statistic is copied before the update, as two loops
        read it, one of which overwrites it. Others make one loop of both.
      transposes: Whether products read a transposed copy of a layer's largest kernel.
      overlaps: Whether exchanges go on meanwhile: gradients of a layer wait for being
        summed up among devices while others are computed. Else all is gathered first,
        the head's kernel before the layers.
      spreads_experts: Whether every expert multiplies all rows, for lack of a kernel.
      casts_ahead: Whether the layers' weights are cast before the loop over them, all
        at once and not layer by layer.
    """

    copies_statistics: bool = False
    transposes: bool = False
    overlaps: bool = True
    spreads_experts: bool = False
    casts_ahead: bool = True


COMPILERS = {
    "cpu": Compiler(
        copies_statistics=True,
        transposes=True,
        overlaps=False,
        spreads_experts=True,
        casts_ahead=False,
    ),
    "gpu": Compiler(),
    "tpu": Compiler(),
}


class StepMemory(NamedTuple):
    """The bytes of one device while a step runs.

    Attributes:
      arguments: By what they are.
      phases: The temporaries of each phase, by what they are.
      results: That reuse no argument's memory.
    """

    arguments: dict[str, int]
    phases: dict[str, dict[str, int]]
    results: int = 0

    @property
    def peak(self) -> str:
        """The phase that takes the most."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def temporaries(self) -> dict[str, int]:
        """Those of that phase."""
        return self.phases[self.peak]

    @property
    def argument_bytes(self) -> int:
        """Of all arguments."""
        return sum(self.arguments.values())

    @property
    def temporary_bytes(self) -> int:
        """Of all temporaries at the peak."""
        return sum(self.temporaries.values())

    @property
    def total(self) -> int:
        """All that is there at once."""
        return self.argument_bytes + self.temporary_bytes + self.results


@dataclass(frozen=True, kw_only=True)
class MemoryModel:
    """One device's memory in the steps of a run, on a mesh that is JAX's current one.

    Attributes:
      config: The architecture, with its adapters if those are trained.
      weights: Shapes of all weights that are not adapters, with shardings.
      rows: Shapes of one part of a batch.
      mesh: Devices along each axis.
      platform: Whose compiler.
    """

    config: TransformerConfig
    weights: Params
    rows: PackedRows
    mesh: Mapping[str, int]
    platform: str

    def train(self, state: TrainState, batch: list[Any], frozen: Params) -> StepMemory:
        """Of a step of training.

        While layers run, gradients are there, and as many sums of them if the batch
        has several parts; the update follows when all that activations took is free.

        Args:
          state: Shapes, with shardings.
          batch: In its parts.
          frozen: What is not trained.
        """
        weights, is_whole = bytes_here(state.params), len(batch) == 1
        always = self._passed() | {
            "gradients": weights,
            "sums": 0 if is_whole else _wide_bytes(state.params),
            "statistics": self._copied(state) if is_whole else 0,
        }
        backward = {
            "gathered": self._gathered(is_backward=True),
            "workspace": self._backward(),
        }
        phases = {
            "layers": self._forward(),
            "head": self._head(is_backward=True),
            "backward": backward,
        }
        phases = {name: always | found for name, found in phases.items()}
        phases["update"] = self._update(state)
        arguments = {
            "weights": weights,
            "frozen": bytes_here(frozen),
            "optimizer": bytes_here(state) - weights,
            "batch": bytes_here(batch),
        }
        return StepMemory(arguments, _without_zeros(phases))

    def reference(self) -> StepMemory:
        """Of scoring one part of a batch by weights that are not trained."""
        tables = {"tables": self._tables(), "cast": self.cast}
        phases = {
            "layers": tables | self._forward(),
            "head": tables | self._head(is_backward=False),
        }
        return StepMemory(
            {"weights": bytes_here(self.weights), "batch": bytes_here(self.rows)},
            _without_zeros(phases),
            results=_EXACT * math.prod(self.rows.sources.shape),
        )

    @property
    def share(self) -> DeviceShare:
        """The device's part of one part of a batch."""
        rows, length = self.rows.token_ids.shape
        return DeviceShare(self.config, self.mesh, rows, length)

    @property
    def whole_weights(self) -> int:
        """Bytes of all weights in compute_dtype, if FSDP had gathered all at once."""
        return whole_bytes(self.weights, self.config)

    @property
    def cast(self) -> int:
        """The layers' weights in compute_dtype, if they are all there at once.

        Without rematerialization the forward hands them to the backward.
        """
        is_whole = COMPILERS[self.platform].casts_ahead or self.config.remat == "none"
        return is_whole * cast_bytes(self.weights["layers"], self.config)

    @property
    def _compiler(self) -> Compiler:
        return COMPILERS[self.platform]

    @property
    def _itemsize(self) -> int:
        return jnp.dtype(self.config.compute_dtype).itemsize

    @property
    def _kernel(self) -> int:
        """The head's, in compute_dtype."""
        if self.config.head != "tokens":
            return 0
        return self.config.embed * self.share.words * self._itemsize

    def _tables(self) -> int:
        """The rotation's; where attention reads all scores, its mask, a byte each."""
        share, config = self.share, self.config
        angles = 0
        if config.positions == "rotary":
            angles = share.tokens * config.rotary_dim * _EXACT
        is_dense = config.attention == "xla"
        return angles + is_dense * share.tokens * share.length

    def _passed(self) -> dict[str, int]:
        """What the forward hands to the backward."""
        passed = self.config.num_layers * kept(self.share).bytes_of(self.share)
        return {"tables": self._tables(), "kept": passed, "cast": self.cast}

    def _forward(self) -> dict[str, int]:
        """While layers run."""
        compiler = self._compiler
        spreads = compiler.spreads_experts
        is_early = not compiler.overlaps and self.share.gatherers > 1
        return {
            "gathered": self._gathered(),
            "workspace": forward_work(self.share, spreads_experts=spreads),
            "head": self._kernel if is_early else 0,
        }

    def _gathered(self, *, is_backward: bool = False) -> int:
        """One layer's weights in compute_dtype, whole along the axes that FSDP splits.

        Where nothing is gathered, a slice of the largest kernel is there. Backward, the
        gradients of all wait besides, before each device keeps its part.
        """
        kernels = [
            _whole_size(leaf) // self.config.num_layers
            for leaf in jax.tree.leaves(self.weights["layers"])
        ]
        largest, compiler = max(kernels), self._compiler
        is_alone = self.share.gatherers == 1
        one_by_one = self.config.remat == "none" and not compiler.overlaps
        number = largest if is_alone or one_by_one else sum(kernels)
        number += compiler.transposes * largest
        if is_backward and compiler.overlaps and not (is_alone or self.config.lora):
            number += sum(kernels)
        return self._itemsize * number

    def _head(self, *, is_backward: bool) -> dict[str, int]:
        """States of the slots, the head, one chunk's logits.

        The backward works in the logits' memory, and sums the gradient of the head in
        float32 before each device keeps its part.
        """
        config, share = self.config, self.share
        slots = self.rows.sources.shape[1] * share.rows_here * config.embed
        states = {"states": (1 + is_backward) * slots * self._itemsize}
        if config.head != "tokens":
            return states
        # its gradient, whole in float32, where the kernel was
        summed = is_backward and not config.lora and share.gatherers > 1
        whole = config.embed * share.words * _EXACT * summed
        return states | {
            "head": max(self._kernel, whole),
            "logits": logits_bytes(config, self.rows),
        }

    def _backward(self) -> int:
        """A layer's workspace; adapters add their result to that of each map."""
        spreads, lora = self._compiler.spreads_experts, self.config.lora
        work = backward_work(self.share, spreads_experts=spreads)
        if lora is None:
            return work
        share = self.share
        sizes = {"q": share.queries, "k": share.keys, "v": share.keys}
        sizes |= {"gate": share.hidden, "up": share.hidden}
        added = sum(sizes.get(name, share.stream) for name in lora.targets)
        return work + self._itemsize * added

    def _update(self, state: TrainState) -> dict[str, int]:
        """Gradients, the same clipped where that is an array, copies of statistics."""
        exact = _wide_bytes(state.params)
        return {
            "gradients": exact,
            "clipped": exact if self._compiler.copies_statistics else 0,
            "statistics": self._copied(state),
        }

    def _copied(self, state: TrainState) -> int:
        """Statistics as large as the weights that they are of."""
        if not self._compiler.copies_statistics:
            return 0
        shapes = {leaf.shape for leaf in jax.tree.leaves(state.params)}
        leaves = jax.tree.leaves(state.opt_state)
        return sum(bytes_here(leaf) for leaf in leaves if leaf.shape in shapes)


def bytes_here(tree: Any) -> int:
    """Of one device, of arrays with shardings."""
    return sum(_size_here(leaf) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def cast_bytes(layers: Params, config: TransformerConfig) -> int:
    """Of the layers' weights in compute_dtype; 0 if that is their own."""
    itemsize = jnp.dtype(config.compute_dtype).itemsize
    leaves = [one for one in jax.tree.leaves(layers) if one.dtype.itemsize != itemsize]
    return itemsize * sum(map(_size_here, leaves))


def whole_bytes(weights: Params, config: TransformerConfig) -> int:
    """Of weights in compute_dtype, if FSDP had gathered all at once."""
    sizes = map(_whole_size, jax.tree.leaves(weights))
    return jnp.dtype(config.compute_dtype).itemsize * sum(sizes)


def _wide_bytes(tree: Any) -> int:
    """The same in float32."""
    return sum(
        _size_here(leaf) * wide(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )


def _size_here(leaf: Any) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape))


def _whole_size(leaf: Any) -> int:
    """Numbers of a leaf on a device, if nothing split it along what FSDP gathers."""
    assert isinstance(leaf.sharding, NamedSharding)
    gathered = set(FSDP_TENSOR["embed"])
    named = leaf.sharding.mesh.shape
    axes = _names(leaf.sharding.spec)
    return _size_here(leaf) * math.prod(
        named[name] for name in axes if name in gathered
    )


def _names(spec: Any) -> Iterator[str]:
    """The mesh axes of a spec."""
    for entry in spec:
        yield from (entry,) if isinstance(entry, str) else entry or ()


def _without_zeros(phases: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {
        name: {what: size for what, size in found.items() if size}
        for name, found in phases.items()
    }
