"""What decoding takes of a device, by formulas."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax.numpy as jnp

from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.planning.array_bytes import bytes_here, cast_bytes, whole_bytes
from rlaif_jax.planning.device_share import DeviceShare
from rlaif_jax.planning.estimate import Demand, Estimate
from rlaif_jax.planning.exchanges import Traffic
from rlaif_jax.planning.layer_memory import Arrays, forward_work
from rlaif_jax.planning.memory_model import StepMemory
from rlaif_jax.planning.modelled import Moved, told
from rlaif_jax.planning.topology import Topology
from rlaif_jax.planning.update_memory import COMPILERS

_EXACT = 4  # bytes of a float32


@dataclass(frozen=True, kw_only=True)
class DecodeModel:
    """Completing a batch of prompts, every row up to its limit.

    Attributes:
      config: The architecture.
      weights: Shapes, with shardings.
      mesh: Devices along each axis.
      rows: Prompts of a batch.
      prompt: Slots of each.
      most: Tokens that each may have.
    """

    config: TransformerConfig
    weights: Params
    mesh: Mapping[str, int]
    rows: int
    prompt: int
    most: int

    def memory(self, platform: str) -> StepMemory:
        """The cache and the weights as they are read; beside them first the prompts.

        Args:
          platform: Whose compiler.
        """
        config, share = self.config, self._share
        always = {"cache": self._cache, "cast": cast_bytes(self.weights, config)}
        gathered = self._whole // config.num_layers if share.gatherers > 1 else 0
        spreads = COMPILERS[platform].spreads_experts
        work = forward_work(share, spreads_experts=spreads)
        phases = {
            "prompts": {"gathered": gathered, "workspace": work},
            "tokens": {
                "gathered": gathered,
                "logits": 2 * share.rows_here * share.words * _EXACT,  # and sorted
            },
        }
        arguments = {"weights": bytes_here(self.weights)}
        return StepMemory(
            arguments, {name: always | found for name, found in phases.items()}
        )

    def estimate(self, demand: Demand, topology: Topology) -> Estimate:
        """All figures of a batch.

        Weights and cache are read for every token; FSDP gathers all weights each time.

        Args:
          demand: What it needs.
          topology: The devices.
        """
        crossing = Traffic(
            weights=self._whole,
            stream=Arrays(stream=1).bytes_of(replace(self._share, length=1)),
            layers=self.config.num_layers,
            is_mixture=self.config.num_experts > 0,
        )
        sent = crossing.passes(self.mesh, gathers=self.most, streams=self.most)
        read = self.most * (self._whole + self._cache)
        memory = self.memory(topology.platform)
        return told(demand, memory, Moved(read, sent), self.mesh, topology)

    @property
    def _share(self) -> DeviceShare:
        return DeviceShare(self.config, self.mesh, self.rows, self.prompt)

    @property
    def _whole(self) -> int:
        return whole_bytes(self.weights, self.config)

    @property
    def _cache(self) -> int:
        """Keys and values of all layers and slots; the last token needs none."""
        share = replace(self._share, length=self.prompt + self.most - 1)
        itemsize = jnp.dtype(self.config.compute_dtype).itemsize
        return 2 * self.config.num_layers * share.keys * itemsize
