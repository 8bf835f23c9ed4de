"""The next token from logits: temperature, top-k, top-p and the draw.

Filters apply in this order, which is that of Hugging Face's `generate`, and each sees
what the one before left.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


@dataclass(frozen=True, kw_only=True)
class Selection:
    """How tokens are chosen; hashable, so it can be a static argument of `jit`."""

    temperature: float = 1.0  # divides the logits; 0 takes the most likely token
    top_k: int | None = None  # tokens kept; all, if None
    top_p: float = 1.0  # probability mass kept

    def __post_init__(self):
        if self.temperature < 0.0:
            raise ValueError(f"temperature {self.temperature} is negative")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k {self.top_k} keeps no token: use 1 or more")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p {self.top_p} is not in (0, 1]")


def select_tokens(
    logits: Float[Array, "B V"], keys: Key[Array, " B"], selection: Selection
) -> Int[Array, " B"]:
    """One token a row: drawn, or at temperature 0 the most likely.

    Args:
      logits: Of the next token.
      keys: One a row, so that a row's draw is its own whatever the batch.
      selection: Temperature and filters.

    Returns:
      Token ids. Among equally likely tokens the greedy choice is the lowest id.
    """
    if selection.temperature == 0.0:
        return jnp.argmax(logits, axis=-1)
    return jax.vmap(jax.random.categorical)(keys, warp(logits, selection))


def warp(logits: Float[Array, "B V"], selection: Selection) -> Float[Array, "B V"]:
    """Logits after temperature and filters; what may not be drawn is -inf."""
    logits = logits / selection.temperature
    if selection.top_k is not None:
        logits = keep_top_k(logits, selection.top_k)
    if selection.top_p < 1.0:
        logits = keep_top_p(logits, selection.top_p)
    return logits


def keep_top_k(logits: Float[Array, "B V"], k: int) -> Float[Array, "B V"]:
    """The k largest logits, and -inf for the rest.

    Tokens that tie with the k-th are all kept, as Hugging Face does: more than k may
    remain, and never an arbitrary choice among equals.
    """
    lowest = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][:, -1:]
    return jnp.where(logits < lowest, -jnp.inf, logits)


def keep_top_p(logits: Float[Array, "B V"], p: float) -> Float[Array, "B V"]:
    """The fewest most likely tokens with mass above p, and -inf for the rest.

    Nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751), counted as Hugging Face
    does: from the least likely up, a token goes while the mass up to and including it
    is at most 1 - p; the most likely always stays. One difference: tokens that tie
    with the last one kept are all kept, where Hugging Face drops the ones that its
    sort happens to put first.
    """
    ascending = jnp.sort(logits, axis=-1)
    mass = jnp.cumsum(jax.nn.softmax(ascending, axis=-1), axis=-1)
    is_kept = (mass > 1.0 - p).at[:, -1].set(True)
    first = jnp.argmax(is_kept, axis=-1)[:, None]  # mass rises: the rest is kept too
    lowest = jnp.take_along_axis(ascending, first, axis=-1)
    return jnp.where(logits < lowest, -jnp.inf, logits)
