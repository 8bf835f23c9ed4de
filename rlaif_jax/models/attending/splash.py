"""JAX's sparse flash attention kernel for TPUs: "splash".

It knows one static mask for all rows and a segment for each query and each key. Rows
of pairs that share their prompt take two calls with different segments of the keys,
of which each query takes one: no sums need merging.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import (
    BlockSizes,
    CausalMask,
    LocalMask,
    MultiHeadMask,
    SegmentIds,
    make_splash_mha,
)
from jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_kernel import (
    SplashAttentionKernel,
)
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float

from rlaif_jax.models.activations import SEQUENCE_AXIS, sequence_parts
from rlaif_jax.models.attending.places import Places, is_in_row_order, or_nan
from rlaif_jax.models.attending.rule import Heads, Rule
from rlaif_jax.models.attending.split import (
    HEADS,
    QUERIES,
    ROWS,
    TOKENS,
    by_rows_and_heads,
)
from rlaif_jax.models.attending.tiles import padded
from rlaif_jax.models.remat import ATTENTION

_LANES = 128  # what row lengths and blocks must be a multiple of
_BLOCKS = (512, 256, 128)
_ELSEWHERE = 1 << 20  # added to a segment, it is another


class Reading(NamedTuple):
    """The segments of the first call, and where there are branches of the second."""

    first: SegmentIds
    second: SegmentIds | None
    is_rejected: Bool[Array, "B T"] | None  # whose result is the second's
    is_fit: Bool[Array, " B"]


def prepare(places: Places, rule: Rule) -> Reading:
    """The segments of rows in order (`is_in_row_order`); others become NaN.

    With branches, the rejected is a segment of its own in the first call, where the
    chosen reads prompt and chosen. In the second the chosen's keys are elsewhere, so
    that the rejected reads prompt and rejected. Every query has a key in both.
    """
    del rule
    is_fit = is_in_row_order(places)
    pad = partial(padded, block=_multiple())
    segments = pad(places.segments)
    if places.branches is None:
        return Reading(SegmentIds(segments, segments), None, None, is_fit)
    branches = pad(places.branches)
    own = jnp.where(branches == 2, segments + _ELSEWHERE, segments)
    hidden = jnp.where(branches == 1, segments + _ELSEWHERE, segments)
    first, second = SegmentIds(own, own), SegmentIds(segments, hidden)
    return Reading(first, second, branches == 2, is_fit)


def read(
    heads: Heads, reading: Reading, rule: Rule, *, interpret: bool = False
) -> Float[Array, "B T K G H"]:
    """What each query reads.

    Args:
      heads: Queries, keys and values of the same tokens.
      reading: From `prepare`.
      rule: Scale, soft cap and window.
      interpret: Run the kernel's Python on any platform, slowly: for tests.
    """
    length = heads.q.shape[1]
    scaled = heads._replace(q=heads.q * rule.scale)  # the kernel does not
    whole = Heads(*(padded(part, block=_multiple()) for part in scaled))
    kernel = _kernel(whole, rule, interpret=interpret)
    segments = SegmentIds._make((TOKENS, ROWS))  # of queries, of keys
    specs = (HEADS, segments, _specs(kernel))
    compute = by_rows_and_heads(_read_here, specs, QUERIES)
    mixed = compute(whole, reading.first, kernel)
    if reading.second is not None and reading.is_rejected is not None:
        is_rejected = reading.is_rejected[:, :, None, None, None]
        mixed = jnp.where(is_rejected, compute(whole, reading.second, kernel), mixed)
    return or_nan(mixed[:, :length], reading.is_fit)


def _read_here(
    heads: Heads, segments: SegmentIds, kernel: Callable[..., Any]
) -> Float[Array, "B T K G H"]:
    """What this device's rows, queries and heads read."""
    rows, length, kv_heads, groups, width = heads.q.shape
    q = heads.q.reshape(rows, length, kv_heads * groups, width)
    by_head = [part.swapaxes(1, 2) for part in (q, heads.k, heads.v)]
    mixed = jax.vmap(kernel)(*by_head, segments)
    return mixed.swapaxes(1, 2).reshape(heads.q.shape)


def _multiple() -> int:
    """What a row's length is padded to: whole lanes on every device that shares it."""
    return _LANES * sequence_parts()


def _specs(kernel: SplashAttentionKernel) -> Any:
    """How the kernel's list of blocks is split: as the queries are."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return None
    return kernel.manual_sharding_spec(
        NamedSharding(mesh, PartitionSpec(None, SEQUENCE_AXIS))
    )


def _kernel(heads: Heads, rule: Rule, *, interpret: bool) -> SplashAttentionKernel:
    """The kernel for rows of one length, and for one device's heads."""
    length, kv_heads, groups = heads.q.shape[1:4]
    parts = sequence_parts()
    mesh = jax.sharding.get_abstract_mesh().shape
    num_heads = kv_heads * groups // mesh.get("tensor", 1)
    shape = (length, length)
    if rule.window is None:
        mask = CausalMask(shape)
    else:
        mask = LocalMask(shape, (rule.window - 1, 0), offset=0)
    block = next(size for size in _BLOCKS if (length // parts) % size == 0)
    sizes = BlockSizes(
        block_q=block,
        block_kv=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_q_dq=block,
        block_kv_dq=block,
    )
    return make_splash_mha(
        MultiHeadMask([mask] * num_heads),
        head_shards=1,
        q_seq_shards=parts,
        block_sizes=sizes,
        attn_logits_soft_cap=rule.softcap,
        residual_checkpoint_name=ATTENTION,
        interpret=interpret,
    )
