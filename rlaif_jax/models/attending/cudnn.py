"""NVIDIA's fused kernel, through `jax.nn.dot_product_attention`: "cudnn".

Its public form knows causality, lengths and a window, but no segments. A mask would be
turned into a bias of T² numbers, so packed rows are refused rather than slow.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from rlaif_jax.models.attending.places import Places, is_in_row_order, or_nan
from rlaif_jax.models.attending.rule import Heads, Rule
from rlaif_jax.models.attending.split import (
    HEADS,
    QUERIES,
    ROWS,
    by_rows_and_heads,
)


class Reading(NamedTuple):
    """How long the one text of each row is."""

    lengths: Int32[Array, " B"]
    is_fit: Bool[Array, " B"]


def prepare(places: Places, rule: Rule) -> Reading:
    """The lengths of rows that hold one text and then padding; others become NaN."""
    del rule
    is_text = places.segments > 0
    lengths = jnp.sum(is_text, axis=1, dtype=jnp.int32)
    is_first = places.segments == places.segments[:, :1]
    is_front = jnp.arange(is_text.shape[1]) < lengths[:, None]
    is_one = jnp.all(is_text == is_front, axis=1)
    is_one &= jnp.all(is_first | ~is_text, axis=1)
    return Reading(lengths, is_one & is_in_row_order(places))


def read(
    heads: Heads,
    reading: Reading,
    rule: Rule,
    *,
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Float[Array, "B T K G H"]:
    """What each query reads; 0 on padding.

    Args:
      heads: Queries, keys and values of the same tokens, in bfloat16 or float16.
      reading: From `prepare`.
      rule: Scale and window.
      implementation: Of `jax.nn.dot_product_attention`; "xla" runs anywhere, and is
        there to test what is passed.
    """
    here = partial(_read_here, rule=rule, implementation=implementation)
    compute = by_rows_and_heads(here, (HEADS, ROWS), QUERIES)
    return or_nan(compute(heads, reading.lengths), reading.is_fit)


def _read_here(
    heads: Heads,
    lengths: Int32[Array, " B"],
    rule: Rule,
    implementation: Literal["cudnn", "xla"],
) -> Float[Array, "B T K G H"]:
    """What this device's rows and heads read.

    The kernel leaves what it likes on padding, in values and in gradients: neither is
    let out, for 0 times NaN is NaN.
    """
    is_text = jnp.arange(heads.q.shape[1]) < lengths[:, None]
    q, k, v = (_only(part, is_text) for part in heads)
    lengths = jnp.maximum(lengths, 1)  # a row of padding has a query too
    mixed = jax.nn.dot_product_attention(
        q.reshape(*q.shape[:2], -1, q.shape[-1]),
        k,
        v,
        scale=rule.scale,
        is_causal=True,
        query_seq_lengths=lengths,
        key_value_seq_lengths=lengths,
        local_window_size=None if rule.window is None else (rule.window - 1, 0),
        implementation=implementation,
    )
    return _only(mixed.reshape(q.shape), is_text)


def _only(
    x: Float[Array, "B T ..."], is_text: Bool[Array, "B T"]
) -> Float[Array, "B T ..."]:
    return jnp.where(is_text.reshape(*is_text.shape, *[1] * (x.ndim - 2)), x, 0)
