"""Causal self-attention with grouped key/value heads, and its one mask."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.layers import Linears, RMSNorm
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


class Attention(Linears):
    """Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245).

    Kernels keep one dimension per logical axis: the query kernel is [D, K, G, H],
    not [D, K * G * H], so no reshape ever crosses a sharded dimension.
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        super().__init__(config)
        heads, kv_heads = ("kv_heads", "q_groups", "head_dim"), ("kv_heads", "head_dim")
        has_bias = config.qkv_bias
        self.add_linear("q", ("embed",), heads, rngs, has_bias=has_bias)
        self.add_linear("k", ("embed",), kv_heads, rngs, has_bias=has_bias)
        self.add_linear("v", ("embed",), kv_heads, rngs, has_bias=has_bias)
        self.add_linear("o", heads, ("embed",), rngs, has_bias=config.out_bias)
        if config.qk_norm:
            self.q_norm = RMSNorm(config, "head_dim")
            self.k_norm = RMSNorm(config, "head_dim")

    def project(self, x: Float[Array, "B T D"], by: Rotation | None) -> Projections:
        """Queries, keys and values of the normalized residual stream.

        Args:
          x: The stream.
          by: Each position's rotation; None where positions are embedded.
        """
        q, k, v = (self.linear(name, x) for name in ("q", "k", "v"))
        if self.config.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        if by is not None:
            q, k = rotate(q, by), rotate(k, by)
        return Projections(q, k, v)

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
        scale = self.config.query_scale or q.shape[-1] ** -0.5
        scores = jnp.einsum(
            "btkgh,bskh->bkgts", q * scale, k, preferred_element_type=jnp.float32
        )
        if self.config.attention_softcap is not None:
            cap = self.config.attention_softcap
            scores = cap * jnp.tanh(scores / cap)
        scores = jnp.where(mask[:, None, None], scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        mixed = jnp.einsum("bkgts,bskh->btkgh", weights, v)
        return self.linear("o", mixed)
