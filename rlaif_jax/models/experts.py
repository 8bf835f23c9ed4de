"""A mixture of experts in place of the MLP (Jiang et al. 2024, arXiv:2401.04088).

Shape letters: E experts, C experts of one token, R = B * T * C rows, one a choice.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from rlaif_jax.models.activations import BATCH_AXES, SEQUENCE_AXIS
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.layers import activate, kernel
from rlaif_jax.models.precision import wide
from rlaif_jax.models.remat import PROJECTION

_EXPERT_AXIS, _TENSOR_AXIS = "expert", "tensor"  # mesh axes, as in sharding.rules


class Routing(NamedTuple):
    """What the router did with the tokens that are not padding."""

    load: Float[Array, "*L E"]  # choices of each expert
    probability: Float[Array, "*L E"]  # summed over the tokens
    num_tokens: Float[Array, "*L"]


class _Choices(NamedTuple):
    """Where the router sends each token."""

    experts: Any  # Int[Array, "B T C"], or their specs
    shares: Any  # Float[Array, "B T C"], of the result; they sum to 1


class _Kernels(NamedTuple):
    """The experts' weights, or their specs."""

    gate: Any  # Float[Array, "E D F"]
    up: Any  # Float[Array, "E D F"]
    down: Any  # Float[Array, "E F D"]


class Experts(nnx.Module):
    """Gated MLPs of which every token passes through the few that its router chose.

    No expert is ever full: all choices are computed, so that a token's result does
    not depend on its neighbours, and a log-ratio not on the batch.
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.router = kernel(config, ("embed",), ("experts",), rngs)
        inner, outer = ("embed",), ("ffw",)
        self.gate = kernel(config, inner, outer, rngs, each=("experts",))
        self.up = kernel(config, inner, outer, rngs, each=("experts",))
        self.down = kernel(config, outer, inner, rngs, each=("experts",))

    def __call__(
        self, x: Float[Array, "B T D"], is_text: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B T D"], Routing]:
        """The update to add to the residual stream, and what the router did.

        Args:
          x: The normalized stream.
          is_text: False on padding, which is computed but not counted.
        """
        logits = jnp.einsum("btd,de->bte", x, self.router[...].astype(x.dtype))
        probabilities = jax.nn.softmax(logits.astype(wide(logits.dtype)), axis=-1)
        top, chosen = jax.lax.top_k(probabilities, self.config.experts_per_token)
        shares = (top / jnp.sum(top, axis=-1, keepdims=True)).astype(x.dtype)
        kernels = _Kernels(
            *(w[...].astype(x.dtype) for w in (self.gate, self.up, self.down))
        )
        counted = is_text[..., None].astype(jnp.float32)
        load = jax.nn.one_hot(chosen, self.config.num_experts).sum(axis=2)
        routing = Routing(
            load=jnp.sum(load * counted, axis=(0, 1)),
            probability=jnp.sum(probabilities * counted, axis=(0, 1)),
            num_tokens=jnp.sum(counted),
        )
        return self._mix(x, _Choices(chosen, shares), kernels), routing

    def _mix(
        self, x: Float[Array, "B T D"], choices: "_Choices", kernels: "_Kernels"
    ) -> Float[Array, "B T D"]:
        """The chosen experts' results, weighted by their shares.

        On a mesh each device runs its own experts for its own tokens: a sort has no
        partition that a compiler could find.
        """
        if jax.sharding.get_abstract_mesh().empty:
            return self._own_experts(x, choices, kernels, first=0)

        def on_device(
            x: Float[Array, "B T D"], choices: "_Choices", kernels: "_Kernels"
        ) -> Float[Array, "B T D"]:
            first = jax.lax.axis_index(_EXPERT_AXIS) * kernels.gate.shape[0]
            # JAX 0.10 takes what a sort permutes to be the same on every device, and
            # sums x's gradient before undoing the order: each has its own order
            x = jax.lax.pcast(x, (_EXPERT_AXIS, _TENSOR_AXIS), to="varying")
            update = self._own_experts(x, choices, kernels, first=first)
            return jax.lax.psum(update, (_EXPERT_AXIS, _TENSOR_AXIS))

        rows = PartitionSpec(BATCH_AXES, SEQUENCE_AXIS, None)
        inward = PartitionSpec(_EXPERT_AXIS, None, _TENSOR_AXIS)
        outward = PartitionSpec(_EXPERT_AXIS, _TENSOR_AXIS, None)
        return jax.shard_map(
            on_device,
            in_specs=(rows, _Choices(rows, rows), _Kernels(inward, inward, outward)),
            out_specs=rows,
        )(x, choices, kernels)

    def _own_experts(
        self,
        x: Float[Array, "B T D"],
        choices: "_Choices",
        kernels: "_Kernels",
        *,
        first: Int[Array, ""] | int,
    ) -> Float[Array, "B T D"]:
        """What the experts from number `first` on add; 0 for choices of others."""
        num_experts, per_token = kernels.gate.shape[0], choices.experts.shape[-1]
        expert = (choices.experts - first).reshape(-1)
        is_own = (expert >= 0) & (expert < num_experts)
        expert = jnp.where(is_own, expert, num_experts)  # others last
        order = jnp.argsort(expert)  # rows of one expert side by side
        sizes = jnp.bincount(expert, length=num_experts).astype(jnp.int32)
        rows = x.reshape(-1, x.shape[-1])[order // per_token]

        def linear(rows: Float[Array, "N D"], kernel: Array) -> Float[Array, "N F"]:
            return checkpoint_name(jax.lax.ragged_dot(rows, kernel, sizes), PROJECTION)

        hidden = activate(self.config, linear(rows, kernels.gate))
        hidden = hidden * linear(rows, kernels.up)
        results = linear(hidden, kernels.down)[jnp.argsort(order)]
        results = jnp.where(is_own[:, None], results, 0.0)
        results = results.reshape(*choices.experts.shape, x.shape[-1])
        return jnp.einsum("btcd,btc->btd", results, choices.shares)
