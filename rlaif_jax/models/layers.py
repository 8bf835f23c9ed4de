"""The parts of a layer that look at one position at a time."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from rlaif_jax.models.config import TransformerConfig


def kernel(
    config: TransformerConfig,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    rngs: nnx.Rngs,
) -> nnx.Param:
    """A random kernel whose logical axes give both its shape and its sharding.

    Args:
      config: Tells how long each axis is.
      inputs: Logical axes that are summed over.
      outputs: Logical axes of the result.
      rngs: Source of the values: normal, of variance 1 / (size of the inputs).
    """
    axes = inputs + outputs
    init = nnx.initializers.variance_scaling(
        scale=1.0,
        mode="fan_in",
        distribution="normal",
        in_axis=tuple(range(len(inputs))),
        out_axis=tuple(range(len(inputs), len(axes))),
    )
    shape = tuple(config.axis_sizes[axis] for axis in axes)
    return nnx.Param(init(rngs.params(), shape), axes=axes)


class RMSNorm(nnx.Module):
    """Root mean square normalization (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, config: TransformerConfig):
        self.config = config
        self.scale = nnx.Param(jnp.ones(config.embed), axes=("embed",))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Divides by the root mean square and scales, in float32."""
        wide = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
        normed = wide * jax.lax.rsqrt(mean_square + self.config.norm_eps)
        return (normed * self.scale[...].astype(jnp.float32)).astype(x.dtype)


class GatedMLP(nnx.Module):
    """SwiGLU feed-forward layer (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.gate = kernel(config, ("embed",), ("ffw",), rngs)
        self.up = kernel(config, ("embed",), ("ffw",), rngs)
        self.down = kernel(config, ("ffw",), ("embed",), rngs)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """The update to add to the residual stream."""
        gate, up, down = (
            weight[...].astype(x.dtype) for weight in (self.gate, self.up, self.down)
        )
        hidden = jax.nn.silu(jnp.einsum("btd,df->btf", x, gate))
        hidden = hidden * jnp.einsum("btd,df->btf", x, up)
        return jnp.einsum("btf,fd->btd", hidden, down)
