"""The sizes and precision that define one transformer."""

import dataclasses
from typing import Any

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.typing import Json

_POSITIVE = (
    "vocab_size",
    "embed",
    "num_layers",
    "kv_heads",
    "q_groups",
    "head_dim",
    "ffw",
    "max_positions",
    "rope_theta",
    "norm_eps",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A decoder-only transformer; hashable, so it can be a static argument of `jit`."""

    family: str  # names its key map: llama or mistral
    vocab_size: int
    embed: int  # width of the residual stream
    num_layers: int
    kv_heads: int
    q_groups: int  # query heads of one key/value head
    head_dim: int
    ffw: int
    max_positions: int  # that it was trained on; longer rows are not refused
    rope_theta: float
    norm_eps: float
    sliding_window: int | None = None  # keys a query sees, itself included
    tie_embeddings: bool = False  # the head is the embedding, transposed
    bos_token_id: int | None = None
    eos_token_id: int
    compute_dtype: str = "float32"  # of activations; or bfloat16
    remat: str = "none"  # full: recompute each layer in the backward

    def __post_init__(self):
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive: {getattr(self, name)}")
        if self.head_dim % 2:
            raise ValueError(f"rotary positions need an even head_dim: {self.head_dim}")
        if self.sliding_window is not None and self.sliding_window < 1:
            raise ValueError(f"sliding_window must be positive: {self.sliding_window}")
        if self.compute_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"compute_dtype {self.compute_dtype!r} is not known")
        if self.remat not in ("none", "full"):
            raise ValueError(f"remat {self.remat!r} is neither 'none' nor 'full'")

    @property
    def num_heads(self) -> int:
        """Query heads of one layer."""
        return self.kv_heads * self.q_groups

    @property
    def axis_sizes(self) -> dict[str, int]:
        """The length of each logical axis of the weights."""
        return {
            "layers": self.num_layers,
            "embed": self.embed,
            "kv_heads": self.kv_heads,
            "q_groups": self.q_groups,
            "head_dim": self.head_dim,
            "ffw": self.ffw,
            "vocab": self.vocab_size,
        }

    def replace(self, **changes: Any) -> "TransformerConfig":
        """The same config but for `changes`."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> Json:
        """All fields, for a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Json) -> "TransformerConfig":
        """The config that `to_json` wrote.

        Raises:
          CorruptDataError: If a field is unknown, missing or has an impossible value.
        """
        try:
            return cls(**document)
        except (TypeError, ValueError) as error:
            raise CorruptDataError(f"not a model config: {error}") from error
