"""What one device of a mesh has of a step's tokens, heads and words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rlaif_jax.models import TransformerConfig
from rlaif_jax.sharding.mesh import BATCH_AXES
from rlaif_jax.sharding.rules import FSDP_TENSOR


@dataclass(frozen=True)
class DeviceShare:
    """Sizes of the arrays of one device, in numbers, not bytes.

    Activations are split as `sharding.rules` splits the weights that make them: rows
    over the batch axes, heads, the feed-forward width and words over those of the
    weights. The residual stream is split by rows alone.

    Attributes:
      config: The architecture.
      mesh: Devices along each axis, by its name.
      rows: Of all devices, of one part of a batch.
      length: Tokens of a row.
    """

    config: TransformerConfig
    mesh: Mapping[str, int]
    rows: int
    length: int

    @property
    def is_alone(self) -> bool:
        """Whether there is one device."""
        return self.parts(*self.mesh) == 1

    @property
    def gatherers(self) -> int:
        """Devices that gather each other's weights."""
        return self._split("embed")

    @property
    def rows_here(self) -> int:
        """Rows of the device."""
        return -(-self.rows // self.parts(*BATCH_AXES))

    @property
    def tokens(self) -> int:
        """Tokens of the device."""
        return self.rows_here * self.length // self._split("seq")

    @property
    def stream(self) -> int:
        """The residual stream: D of the formulas."""
        return self.tokens * self.config.embed

    @property
    def keys(self) -> int:
        """The keys of a layer, or its values: K of the formulas."""
        split = self._split("kv_heads")
        return self.tokens * self.config.kv_heads * self.config.head_dim // split

    @property
    def queries(self) -> int:
        """The queries of a layer: Q of the formulas."""
        return self.keys * self.config.q_groups

    @property
    def hidden(self) -> int:
        """The inner width of an MLP, or of a token's experts: F of the formulas."""
        return self.choices * self.config.ffw // self._split("ffw")

    @property
    def scores(self) -> int:
        """Of every query and key of a row, and every head: S of the formulas."""
        return self.queries // self.config.head_dim * self.length

    @property
    def choices(self) -> int:
        """Rows that MLPs compute: one a token, or one a choice of an expert."""
        each = self.config.experts_per_token if self.config.num_experts else 1
        return self.tokens * each

    @property
    def experts(self) -> int:
        """Experts that are here."""
        return self.config.num_experts // self._split("experts")

    @property
    def words(self) -> int:
        """Words whose logits are here."""
        return self.config.vocab_size // self._split("vocab")

    def parts(self, *axes: str) -> int:
        """Devices along some axes together."""
        return math.prod(self.mesh.get(axis, 1) for axis in axes)

    def _split(self, logical: str) -> int:
        """Parts of a logical axis of the weights."""
        return self.parts(*FSDP_TENSOR[logical])
