"""The one way in: what each token reads, by the backend that the config names."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rlaif_jax.models.activations import sequence_parts
from rlaif_jax.models.attending import blocks, cudnn, dense, splash
from rlaif_jax.models.attending.places import Places
from rlaif_jax.models.attending.rule import Heads, Rule, needs
from rlaif_jax.models.attending.support import require
from rlaif_jax.models.config import TransformerConfig


class Reading(NamedTuple):
    """What a backend was told of a row's tokens, before the layers."""

    windowed: Any  # of layers with the config's window, if it has one
    full: Any | None  # of layers that ignore it, if there are any


class _Backend(NamedTuple):
    """The functions of one backend."""

    prepare: Callable[[Places, Rule], Any]
    read: Callable[[Heads, Any, Rule], Float[Array, "B T K G H"]]
    has_window_in_arrays: bool  # or in the program


_BACKENDS = {
    "xla": _Backend(dense.prepare, dense.read, True),
    "blocks": _Backend(blocks.prepare, blocks.read, True),
    "cudnn": _Backend(cudnn.prepare, cudnn.read, False),
    "splash": _Backend(splash.prepare, splash.read, False),
}


def prepare(
    config: TransformerConfig, places: Places, cached: Places | None = None
) -> Reading:
    """Everything about who reads whom that is the same in all layers.

    Args:
      config: Names the backend, and says what the layers need.
      places: Of the tokens.
      cached: Of a cache's slots, the tokens among them, if they read from one.

    Raises:
      UsageError: If the backend cannot do it; the message says which can.
    """
    num_tokens = places.segments.shape[1]
    needed = needs(config, num_tokens)
    needed |= {"cache"} if cached is not None else set()
    needed |= {"shared_prefix"} if places.branches is not None else set()
    needed |= {"sequence"} if sequence_parts() > 1 else set()
    require(config.attention, needed)
    if cached is None:
        rule = _rule(config, num_tokens)
        make = partial(_BACKENDS[config.attention].prepare, places)
    else:
        rule = Rule.of(config)
        make = partial(dense.prepare, places, keys=cached)
    full = make(rule._replace(window=None)) if config.global_every else None
    return Reading(make(rule), full)


def read(
    config: TransformerConfig,
    heads: Heads,
    reading: Reading,
    is_global: Bool[Array, ""] | None,
) -> Float[Array, "B T K G H"]:
    """What each query of one layer reads, still head by head.

    Args:
      config: The same as in `prepare`.
      heads: The layer's.
      reading: From `prepare`.
      is_global: Whether this layer ignores the window; None if no layer does.
    """
    backend, rule = _BACKENDS[config.attention], _rule(config, heads.q.shape[1])
    if reading.full is None or is_global is None:
        return backend.read(heads, reading.windowed, rule)
    if backend.has_window_in_arrays:
        select = partial(jnp.where, is_global)
        chosen = jax.tree.map(select, reading.full, reading.windowed)
        return backend.read(heads, chosen, rule)
    return jax.lax.cond(
        is_global,
        lambda: backend.read(heads, reading.full, rule._replace(window=None)),
        lambda: backend.read(heads, reading.windowed, rule),
    )


def _rule(config: TransformerConfig, num_tokens: int) -> Rule:
    """The config's, without a window that hides nothing of so many tokens."""
    rule = Rule.of(config)
    is_wide = rule.window is not None and rule.window >= num_tokens
    return rule._replace(window=None) if is_wide else rule
