"""The projections of self-attention with grouped key/value heads."""

from flax import nnx
from jaxtyping import Array, Float

from rlaif_jax.models.attending.rule import Heads
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.layers import Linears, RMSNorm
from rlaif_jax.models.rotary import Rotation, rotate


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

    def project(self, x: Float[Array, "B T D"], by: Rotation | None) -> Heads:
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
        return Heads(q, k, v)

    def emit(self, mixed: Float[Array, "B T K G H"]) -> Float[Array, "B T D"]:
        """The update to add to the residual stream, of what each head has read."""
        return self.linear("o", mixed)
