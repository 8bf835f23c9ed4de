"""Causal self-attention with grouped key/value heads, and its one mask."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.layers import kernel
from rlaif_jax.models.rotary import Rotation, rotate


def attention_mask(
    q_positions: Int[Array, "B T"],
    kv_positions: Int[Array, "B S"],
    q_segments: Int[Array, "B T"],
    kv_segments: Int[Array, "B S"],
    *,
    window: int | None,
) -> Bool[Array, "B T S"]:
    """True where query t may read key s: the only definition in the package.

    Same segment, not later, and with a window q - kv < window. Training, prefill and
    decoding differ only in the arrays that they pass, never in the rule. Padding is
    segment 0, so it sees padding alone, and no text sees it.

    Args:
      q_positions: Position of each query within its segment.
      kv_positions: Position of each key within its segment.
      q_segments: Segment of each query, from 1; 0 is padding.
      kv_segments: Segment of each key, from 1; 0 is padding or an empty cache slot.
      window: Keys that a query sees at most, itself included; None is all.
    """
    distance = q_positions[:, :, None] - kv_positions[:, None, :]
    allowed = (q_segments[:, :, None] == kv_segments[:, None, :]) & (distance >= 0)
    return allowed if window is None else allowed & (distance < window)


class Projections(NamedTuple):
    """Rotated queries and keys, and values."""

    q: Float[Array, "B T K G H"]
    k: Float[Array, "B T K H"]
    v: Float[Array, "B T K H"]


class Attention(nnx.Module):
    """Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245).

    Kernels keep one dimension per logical axis: the query kernel is [D, K, G, H],
    not [D, K * G * H], so no reshape ever crosses a sharded dimension.
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        heads = ("kv_heads", "q_groups", "head_dim")
        self.q = kernel(config, ("embed",), heads, rngs)
        self.k = kernel(config, ("embed",), ("kv_heads", "head_dim"), rngs)
        self.v = kernel(config, ("embed",), ("kv_heads", "head_dim"), rngs)
        self.o = kernel(config, heads, ("embed",), rngs)

    def project(self, x: Float[Array, "B T D"], by: Rotation) -> Projections:
        """Queries, keys and values of the normalized residual stream."""
        q, k, v = (weight[...].astype(x.dtype) for weight in (self.q, self.k, self.v))
        return Projections(
            rotate(jnp.einsum("btd,dkgh->btkgh", x, q), by),
            rotate(jnp.einsum("btd,dkh->btkh", x, k), by),
            jnp.einsum("btd,dkh->btkh", x, v),
        )

    def mix(
        self,
        q: Float[Array, "B T K G H"],
        k: Float[Array, "B S K H"],
        v: Float[Array, "B S K H"],
        mask: Bool[Array, "B T S"],
    ) -> Float[Array, "B T D"]:
        """Lets each query read from the keys that its mask row allows.

        Args:
          q: Rotated queries.
          k: Rotated keys, of this row's tokens or of a cache.
          v: Values, aligned with the keys.
          mask: True where query t may read key s. Every row has a True.

        Returns:
          The update to add to the residual stream.
        """
        scores = jnp.einsum(
            "btkgh,bskh->bkgts",
            q * q.shape[-1] ** -0.5,
            k,
            preferred_element_type=jnp.float32,
        )
        scores = jnp.where(mask[:, None, None], scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        mixed = jnp.einsum("bkgts,bskh->btkgh", weights, v)
        return jnp.einsum("btkgh,kghd->btd", mixed, self.o[...].astype(q.dtype))
