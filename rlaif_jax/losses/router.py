"""The load of experts: what keeps a router from sending all tokens to a few."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def load_balancing_loss(
    load: Float[Array, "*L E"],
    probability: Float[Array, "*L E"],
    num_tokens: Float[Array, "*L"],
) -> Float[Array, ""]:
    """How unevenly tokens are spread over experts, over all layers together.

    Eqs. 4-6 of Fedus et al., "Switch Transformers" (arXiv:2101.03961), with the
    choices of all layers and of each token's several experts counted alike, as
    transformers does for Mixtral.

    Args:
      load: Tokens that chose each expert.
      probability: What the router gave each expert, summed over tokens.
      num_tokens: Tokens that were counted.

    Returns:
      E * sum(share of tokens * mean probability): the number of experts a token
      chooses if all are even, up to E times one expert's probability if not.
    """
    num_experts = load.shape[-1]
    total = jnp.maximum(jnp.sum(num_tokens), 1.0)
    shares = jnp.sum(load.reshape(-1, num_experts), axis=0) / total
    means = jnp.sum(probability.reshape(-1, num_experts), axis=0) / total
    return num_experts * jnp.sum(shares * means)
