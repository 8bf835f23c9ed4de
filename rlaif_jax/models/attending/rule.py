"""What all backends are told of one layer's attention."""

from typing import NamedTuple

from jaxtyping import Array, Float

from rlaif_jax.models.config import TransformerConfig


class Heads(NamedTuple):
    """Rotated queries and keys, and values."""

    q: Float[Array, "B T K G H"]
    k: Float[Array, "B S K H"]
    v: Float[Array, "B S K H"]


class Rule(NamedTuple):
    """The static part of a layer's attention."""

    scale: float  # of the queries
    softcap: float | None  # bound of the scores
    window: int | None  # keys that a query sees at most, itself included

    @classmethod
    def of(cls, config: TransformerConfig) -> "Rule":
        """The config's, of layers that do not ignore the window."""
        scale = config.query_scale or config.head_dim**-0.5
        return cls(scale, config.attention_softcap, config.sliding_window)


def needs(config: TransformerConfig, num_tokens: int) -> frozenset[str]:
    """What an architecture asks of a backend, as names of `support.FEATURES`.

    Args:
      config: The architecture.
      num_tokens: Of the longest row: a window that holds it whole asks for nothing.
    """
    window, width = config.sliding_window, config.head_dim
    asked = {
        "window": window is not None and window < num_tokens,
        "softcap": config.attention_softcap is not None,
        "grouped": config.q_groups > 1,
        "float32": config.compute_dtype == "float32",
        "wide_heads": width > 128 or width % 8 != 0,
    }
    return frozenset(name for name, is_asked in asked.items() if is_asked)
