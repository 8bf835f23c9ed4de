"""Log-probabilities of tokens from hidden states, without all logits at once.

Shape letters beside the glossary: R rows, C slots of a row, V words here.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

_BATCH_AXES, _TENSOR_AXIS = (
    ("data", "fsdp"),
    "tensor",
)  # mesh axes, as in sharding.rules


class Head(NamedTuple):
    """How states become logits; hashable, so it can be a static argument."""

    softcap: float | None  # logits are softcap * tanh(product / softcap)
    chunk: int  # slots of every row whose logits exist at a time


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def slot_logps(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    head: Head,
) -> Float[Array, "R C"]:
    """Log-probability of each target under the state in its slot, in nats.

    Chunk by chunk, and the backward pass makes each chunk's logits again from its
    states and normalizers, so that no [R C V] array exists in either direction. On a
    mesh, rows are those of a device and the vocabulary is split over its tensor axis.

    Args:
      hidden: States after the final norm, in the dtype of the products.
      kernel: The head, or the transposed embedding; cast to `hidden`'s dtype.
      targets: Token ids in [0, V); what a slot without a token gives is anything.
      head: Soft cap and chunk size.

    Returns:
      In float32, or wider if `hidden` is.
    """
    return _forward(hidden, kernel, targets, head)[0]


class _Saved(NamedTuple):
    """What the backward pass needs."""

    hidden: Any  # Float[Array, "R C D"], or its specs
    kernel: Any  # Float[Array, "D V"]
    targets: Any  # Int[Array, "R C"]
    log_normalizer: Any  # Float[Array, "R C"]


def _forward(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    head: Head,
) -> tuple[Float[Array, "R C"], _Saved]:
    """The log-probabilities, and their logits' normalizers."""
    rows, weights = PartitionSpec(_BATCH_AXES), PartitionSpec(None, _TENSOR_AXIS)
    local = functools.partial(_scan_forward, head=head, axis=_tensor_axis())
    logps, normalizer = _on_devices(local, (rows, weights, rows), (rows, rows))(
        hidden, kernel.astype(hidden.dtype), targets
    )
    return logps, _Saved(hidden, kernel, targets, normalizer)


def _backward(
    head: Head, saved: _Saved, cotangent: Float[Array, "R C"]
) -> tuple[Float[Array, "R C D"], Float[Array, "D V"], None]:
    """Gradients of states and kernel."""
    rows, weights = PartitionSpec(_BATCH_AXES), PartitionSpec(None, _TENSOR_AXIS)
    local = functools.partial(_scan_backward, head=head, axis=_tensor_axis())
    specs = _Saved(rows, weights, rows, rows)
    cast = saved._replace(kernel=saved.kernel.astype(saved.hidden.dtype))
    grad_hidden, grad_kernel = _on_devices(local, (specs, rows), (rows, weights))(
        cast, cotangent
    )
    return grad_hidden, grad_kernel.astype(saved.kernel.dtype), None


slot_logps.defvjp(_forward, _backward)


def _scan_forward(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    *,
    head: Head,
    axis: str | None,
) -> tuple[Float[Array, "R C"], Float[Array, "R C"]]:
    """One device's log-probabilities and normalizers."""
    own = _own_targets(targets, kernel.shape[1], axis)

    def chunk(_, xs):
        states, ids = xs
        logits = _logits(states, kernel, head)
        normalizer = _logsumexp(logits, axis)
        chosen = jnp.take_along_axis(logits, jnp.maximum(ids, 0)[..., None], axis=-1)
        chosen = _sum_over(jnp.where(ids >= 0, chosen[..., 0], 0.0), axis)
        return None, (chosen - normalizer, normalizer)

    split = functools.partial(_chunks, size=head.chunk)
    _, (logps, normalizer) = jax.lax.scan(chunk, None, (split(hidden), split(own)))
    return _joined(logps, targets.shape[1]), _joined(normalizer, targets.shape[1])


def _scan_backward(
    saved: _Saved, cotangent: Float[Array, "R C"], *, head: Head, axis: str | None
) -> tuple[Float[Array, "R C D"], Float[Array, "D V"]]:
    """One device's gradients, summed over those that share a side of them."""
    hidden, kernel, targets, log_normalizer = saved
    own = _own_targets(targets, kernel.shape[1], axis)
    words = jnp.arange(kernel.shape[1])

    def chunk(total, xs):
        states, ids, normalizer, weight = xs
        logits = _logits(states, kernel, head)
        # d logp / d logit = 1 at the target, less the probability everywhere
        change = (words == ids[..., None]) - jnp.exp(logits - normalizer[..., None])
        change = change * weight[..., None]
        if head.softcap is not None:
            change = change * (1.0 - jnp.square(logits / head.softcap))
        change = change.astype(states.dtype)
        by_state = jnp.einsum("rcv,dv->rcd", change, kernel)
        by_kernel = jnp.einsum(
            "rcd,rcv->dv", states, change, preferred_element_type=total.dtype
        )
        return total + by_kernel, by_state

    split = functools.partial(_chunks, size=head.chunk)
    parts = (hidden, own, log_normalizer, cotangent)
    zeros = jnp.zeros(kernel.shape, log_normalizer.dtype)
    start = zeros
    if axis is not None:
        start = jax.lax.pcast(zeros, (*_BATCH_AXES, axis), to="varying")
    total, by_state = jax.lax.scan(chunk, start, tuple(map(split, parts)))
    if axis is not None:
        total = jax.lax.psum(total, _BATCH_AXES)
    return _sum_over(_joined(by_state, targets.shape[1]), axis), total


def _logits(
    states: Float[Array, "R C D"], kernel: Float[Array, "D V"], head: Head
) -> Float[Array, "R C V"]:
    """A chunk's logits over this device's words."""
    wide = jnp.promote_types(states.dtype, jnp.float32)
    logits = jnp.einsum("rcd,dv->rcv", states, kernel, preferred_element_type=wide)
    if head.softcap is None:
        return logits
    return head.softcap * jnp.tanh(logits / head.softcap)


def _logsumexp(logits: Float[Array, "R C V"], axis: str | None) -> Float[Array, "R C"]:
    """Over all words, wherever they are."""
    if axis is None:
        return jax.nn.logsumexp(logits, axis=-1)
    top = jax.lax.pmax(jnp.max(logits, axis=-1), axis)
    return top + jnp.log(_sum_over(jnp.sum(jnp.exp(logits - top[..., None]), -1), axis))


def _own_targets(
    targets: Int[Array, "R C"], num_words: int, axis: str | None
) -> Int[Array, "R C"]:
    """Targets counted from this device's first word; -1 for words of others."""
    if axis is None:
        return targets
    targets = targets - jax.lax.axis_index(axis) * num_words
    return jnp.where((targets >= 0) & (targets < num_words), targets, -1)


def _chunks(array: Array, size: int) -> Array:
    """[R C ...] as [C / size, R, size, ...], padded at the end."""
    count = -(-array.shape[1] // size)
    padding = [(0, 0), (0, count * size - array.shape[1])]
    padding += [(0, 0)] * (array.ndim - 2)
    split = jnp.pad(array, padding).reshape(
        array.shape[0], count, size, *array.shape[2:]
    )
    return jnp.moveaxis(split, 1, 0)


def _joined(chunks: Array, num_slots: int) -> Array:
    """The inverse of `_chunks`."""
    array = jnp.moveaxis(chunks, 0, 1)
    return array.reshape(len(array), -1, *array.shape[3:])[:, :num_slots]


def _sum_over(x: Array, axis: str | None) -> Array:
    return x if axis is None else jax.lax.psum(x, axis)


def _tensor_axis() -> str | None:
    """The mesh axis over which words are split; None where there is no mesh."""
    return None if jax.sharding.get_abstract_mesh().empty else _TENSOR_AXIS


def _on_devices(local, in_specs, out_specs):
    """The function on each device's part of its arguments."""
    if jax.sharding.get_abstract_mesh().empty:
        return local
    return jax.shard_map(local, in_specs=in_specs, out_specs=out_specs)
