"""Bytes of arrays that are shapes with shardings."""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.models.precision import wide
from rlaif_jax.sharding.rules import FSDP_TENSOR


def size_here(leaf: Any) -> int:
    """Numbers of an array on one device."""
    return math.prod(leaf.sharding.shard_shape(leaf.shape))


def bytes_here(tree: Any) -> int:
    """Of one device."""
    return sum(size_here(leaf) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def wide_bytes(tree: Any) -> int:
    """The same in float32."""
    return sum(
        size_here(leaf) * wide(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )


def widened_bytes(tree: Any) -> int:
    """In float32, of those with fewer bits alone."""
    leaves = jax.tree.leaves(tree)
    return wide_bytes([one for one in leaves if one.dtype != wide(one.dtype)])


def cast_bytes(layers: Params, config: TransformerConfig) -> int:
    """Of the layers' weights in compute_dtype; 0 if that is their own."""
    itemsize = jnp.dtype(config.compute_dtype).itemsize
    leaves = [one for one in jax.tree.leaves(layers) if one.dtype.itemsize != itemsize]
    return itemsize * sum(map(size_here, leaves))


def whole_bytes(weights: Params, config: TransformerConfig) -> int:
    """Of weights in compute_dtype, if FSDP had gathered all at once."""
    sizes = map(whole_size, jax.tree.leaves(weights))
    return jnp.dtype(config.compute_dtype).itemsize * sum(sizes)


def whole_size(leaf: Any) -> int:
    """Numbers of a leaf on a device, if nothing split it along what FSDP gathers."""
    assert isinstance(leaf.sharding, NamedSharding)
    gathered = set(FSDP_TENSOR["embed"])
    named = leaf.sharding.mesh.shape
    axes = _names(leaf.sharding.spec)
    return size_here(leaf) * math.prod(named[name] for name in axes if name in gathered)


def _names(spec: Any) -> Iterator[str]:
    """The mesh axes of a spec."""
    for entry in spec:
        yield from (entry,) if isinstance(entry, str) else entry or ()
