"""The parts of a layer that look at one position at a time."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from rlaif_jax.models.activations import merged_tokens
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.precision import wide
from rlaif_jax.models.remat import PROJECTION


def kernel(
    config: TransformerConfig,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    rngs: nnx.Rngs,
    each: tuple[str, ...] = (),
) -> nnx.Param:
    """A random kernel whose logical axes give both its shape and its sharding.

    Args:
      config: Tells how long each axis is.
      inputs: Logical axes that are summed over.
      outputs: Logical axes of the result.
      rngs: Source of the values: normal, of variance 1 / (size of the inputs).
      each: Leading axes, along which kernels are only stacked.
    """
    axes = each + inputs + outputs
    ends = len(each), len(each) + len(inputs)
    init = nnx.initializers.variance_scaling(
        scale=1.0,
        mode="fan_in",
        distribution="normal",
        in_axis=tuple(range(*ends)),
        out_axis=tuple(range(ends[1], len(axes))),
        batch_axis=tuple(range(len(each))),
    )
    shape = tuple(config.axis_sizes[axis] for axis in axes)
    return nnx.Param(init(rngs.params(), shape), axes=axes)


def bias(config: TransformerConfig, axes: tuple[str, ...]) -> nnx.Param:
    """A bias of zeros over the logical axes of what it is added to."""
    shape = tuple(config.axis_sizes[axis] for axis in axes)
    return nnx.Param(jnp.zeros(shape), axes=axes)


class Linears(nnx.Module):
    """A module of named linear maps, each with its bias and its adapter if it has one.

    The parameters of a map are `name`, `name_bias`, `name_lora_a` and `name_lora_b`.
    """

    def __init__(self, config: TransformerConfig):
        self.config = config

    def add_linear(
        self,
        name: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        rngs: nnx.Rngs,
        *,
        has_bias: bool = False,
    ) -> None:
        """Adds a map between logical axes.

        An adapter starts as no change: `name_lora_b` is zero, and `name_lora_a` is
        uniform as in Hugging Face's PEFT (arXiv:2106.09685, section 4.1, is normal).
        """
        config = self.config
        setattr(self, name, kernel(config, inputs, outputs, rngs))
        if has_bias:
            setattr(self, f"{name}_bias", bias(config, outputs))
        if config.lora and name in config.lora.targets:
            shape = tuple(config.axis_sizes[axis] for axis in (*inputs, "lora"))
            bound = math.prod(shape[:-1]) ** -0.5
            start = jax.random.uniform(
                rngs.lora(), shape, minval=-bound, maxval=bound, dtype=jnp.float32
            )
            setattr(self, f"{name}_lora_a", nnx.Param(start, axes=(*inputs, "lora")))
            setattr(self, f"{name}_lora_b", bias(config, ("lora", *outputs)))

    def linear(self, name: str, x: Float[Array, "B T *D"]) -> Float[Array, "B T *F"]:
        """One map, of every position; `x` has its input axes last."""
        num_inputs = x.ndim - 2
        flat = merged_tokens(x)
        y = jnp.tensordot(flat, self._weight(name, x), num_inputs)
        if hasattr(self, f"{name}_lora_a"):
            assert self.config.lora is not None  # it made the adapter
            narrow = jnp.tensordot(flat, self._weight(f"{name}_lora_a", x), num_inputs)
            wide = jnp.tensordot(narrow, self._weight(f"{name}_lora_b", x), 1)
            y = y + wide * self.config.lora.scale
        y = y.reshape(*x.shape[:2], *y.shape[flat.ndim - num_inputs :])
        if hasattr(self, f"{name}_bias"):
            y = y + self._weight(f"{name}_bias", x)
        return checkpoint_name(y, PROJECTION)

    def _weight(self, name: str, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return getattr(self, name)[...].astype(x.dtype)


class RMSNorm(nnx.Module):
    """Root mean square normalization (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, config: TransformerConfig, axis: str = "embed"):
        self.config = config
        scale = jnp.full(config.axis_sizes[axis], float(not config.norm_plus_one))
        self.scale = nnx.Param(scale, axes=(axis,))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Divides by the root mean square and scales, in float32."""
        exact = x.astype(wide(x.dtype))
        mean_square = jnp.mean(jnp.square(exact), axis=-1, keepdims=True)
        normed = exact * jax.lax.rsqrt(mean_square + self.config.norm_eps)
        scale = self.scale[...].astype(exact.dtype) + self.config.norm_plus_one
        return (normed * scale).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Layer normalization (Ba et al. 2016, arXiv:1607.06450)."""

    def __init__(self, config: TransformerConfig):
        self.config = config
        self.scale = nnx.Param(jnp.ones(config.embed), axes=("embed",))
        self.bias = bias(config, ("embed",))

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """Standardizes, scales and shifts, in float32."""
        exact = x.astype(wide(x.dtype))
        centered = exact - jnp.mean(exact, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)
        normed = centered * jax.lax.rsqrt(variance + self.config.norm_eps)
        scale, shift = (p[...].astype(exact.dtype) for p in (self.scale, self.bias))
        return (normed * scale + shift).astype(x.dtype)


def residual_norm(config: TransformerConfig) -> RMSNorm | LayerNorm:
    """The norm of the residual stream that the config names."""
    return RMSNorm(config) if config.norm == "rms" else LayerNorm(config)


_ACTIVATIONS = {
    "silu": jax.nn.silu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
}


def activate(
    config: TransformerConfig, x: Float[Array, "*B F"]
) -> Float[Array, "*B F"]:
    """The config's activation function, of every element."""
    return _ACTIVATIONS[config.activation](x)


class GatedMLP(Linears):
    """Feed-forward layer with a gate (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        super().__init__(config)
        self.add_linear("gate", ("embed",), ("ffw",), rngs)
        self.add_linear("up", ("embed",), ("ffw",), rngs)
        self.add_linear("down", ("ffw",), ("embed",), rngs)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """The update to add to the residual stream."""
        hidden = activate(self.config, self.linear("gate", x)) * self.linear("up", x)
        return self.linear("down", hidden)


class PlainMLP(Linears):
    """Feed-forward layer of two kernels (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        super().__init__(config)
        has_bias = config.mlp_bias
        self.add_linear("up", ("embed",), ("ffw",), rngs, has_bias=has_bias)
        self.add_linear("down", ("ffw",), ("embed",), rngs, has_bias=has_bias)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """The update to add to the residual stream."""
        return self.linear("down", activate(self.config, self.linear("up", x)))
