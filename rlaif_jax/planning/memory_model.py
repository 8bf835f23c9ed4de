"""What a step takes of a device's memory, by formulas: no compiler, milliseconds.

Arguments follow exactly from shapes and shardings. Temporaries are those of the step's
most demanding phase: layers forward, the head, layers backward, or the update.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlaif_jax.data.packing import PackedRows
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.planning.array_bytes import (
    bytes_here,
    cast_bytes,
    whole_bytes,
    whole_size,
    wide_bytes,
    widened_bytes,
)
from rlaif_jax.planning.device_share import DeviceShare
from rlaif_jax.planning.layer_memory import backward_work, forward_work, kept
from rlaif_jax.planning.update_memory import COMPILERS, Compiler, UpdateMemory
from rlaif_jax.training.scoring import logits_bytes
from rlaif_jax.training.step import TrainState

_EXACT = 4  # bytes of a float32


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
        update = UpdateMemory(state, self._compiler, is_whole)
        always = self._passed() | {
            "gradients": weights,
            "sums": 0 if is_whole else wide_bytes(state.params),
        }
        always |= update.early
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
        phases |= update.phases(always)
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
        compiler, layers = self._compiler, self.weights["layers"]
        is_whole = compiler.casts_ahead or self.config.remat == "none"
        cast = is_whole * cast_bytes(layers, self.config)
        return max(cast, compiler.widens * widened_bytes(layers))

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
            whole_size(leaf) // self.config.num_layers
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


def _without_zeros(phases: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {
        name: {what: size for what, size in found.items() if size}
        for name, found in phases.items()
    }
