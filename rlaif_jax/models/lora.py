"""Which parameters are adapters, and what they add to the weights beside them."""

import string
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.models.transformer import Params, abstract_params, init_params

_A, _B = "_lora_a", "_lora_b"


def trained_params(config: TransformerConfig, params: Params) -> Params:
    """The part of a parameter tree that training changes: adapters, or all if none.

    Args:
      config: Tells whether there are adapters.
      params: Arrays, shapes, shardings or names of axes.
    """
    return _chosen(params, adapters=True) if config.lora else params


def frozen_params(config: TransformerConfig, params: Params) -> Params:
    """The part of a parameter tree that training leaves alone."""
    return _chosen(params, adapters=False) if config.lora else {}


def joined_params(frozen: Params, trained: Params) -> Params:
    """The tree of which these are the two parts."""
    tree = dict(frozen)
    for name, branch in trained.items():
        below = frozen.get(name)
        tree[name] = branch if below is None else joined_params(below, branch)
    return tree


def init_adapters(
    config: TransformerConfig, key: Array, dtype: DTypeLike = "float32"
) -> Params:
    """Adapters that change nothing yet; under `jit` no other weights are made."""
    return trained_params(config, init_params(config, key, dtype))


def merged_params(config: TransformerConfig, params: Params) -> Params:
    """The weights with what the adapters add, W + alpha / rank * A B, and no adapters.

    Sums are in float32 and rounded once, to each weight's dtype (arXiv:2106.09685,
    section 4.1).

    Args:
      config: The architecture with its adapters.
      params: All its parameters.
    """
    if config.lora is None:
        return params
    tree: Params = {}
    for name, value in params.items():
        if isinstance(value, dict):
            tree[name] = merged_params(config, value)
        elif name + _A in params:
            update = _product(params[name + _A], params[name + _B])
            wide = value.astype(jnp.float32) + config.lora.scale * update
            tree[name] = wide.astype(value.dtype)
        elif not name.endswith((_A, _B)):
            tree[name] = value
    return tree


def adapted_linears(config: TransformerConfig) -> tuple[tuple[str, ...], ...]:
    """The paths of the weights that have adapters."""
    paths = jax.tree_util.tree_leaves_with_path(
        trained_params(config, abstract_params(config)) if config.lora else {}
    )
    names = [tuple(key.key for key in path) for path, _ in paths]
    return tuple(
        (*name[:-1], name[-1].removesuffix(_A))
        for name in names
        if name[-1].endswith(_A)
    )


def _chosen(tree: Params, *, adapters: bool) -> Params:
    """Only the adapters, or only the rest."""
    chosen: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            if below := _chosen(value, adapters=adapters):
                chosen[name] = below
        elif name.endswith((_A, _B)) == adapters:
            chosen[name] = value
    return chosen


def _product(
    a: Float[Array, "L *D R"], b: Float[Array, "L R *F"]
) -> Float[Array, "L ..."]:
    """Each layer's A B, in float32."""
    letters = (letter for letter in string.ascii_lowercase if letter not in "lr")
    inputs = "".join(next(letters) for _ in a.shape[1:-1])
    outputs = "".join(next(letters) for _ in b.shape[2:])
    spec = f"l{inputs}r,lr{outputs}->l{inputs}{outputs}"
    return jnp.einsum(spec, a.astype(jnp.float32), b.astype(jnp.float32))
