"""Log-probabilities of tokens from hidden states, without all logits at once.

Shape letters beside the glossary: R rows, C slots of a row, V words here, P of the D
rows of the kernel, those that lie here.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

# mesh axes, as in sharding.rules
_DATA, _FSDP, _SEQUENCE, _TENSOR_AXIS = "data", "fsdp", "sequence", "tensor"
_WEIGHTS = (_FSDP, _SEQUENCE)  # that weights are split over
_SLOTS = PartitionSpec((_DATA, _FSDP), _SEQUENCE)  # of arrays [R C ...]
_WORDS = PartitionSpec(None, _TENSOR_AXIS)  # [D V]
_PARTS = PartitionSpec(_WEIGHTS, _TENSOR_AXIS)  # [D V], where the weights lie
_LOGITS = PartitionSpec((_DATA, _FSDP), _SEQUENCE, _TENSOR_AXIS)  # [R C V]


class Head(NamedTuple):
    """How states become logits; hashable, so it can be a static argument."""

    softcap: float | None  # logits are softcap * tanh(product / softcap)
    chunk: int  # a device's slots of a row with logits at a time; all: they are kept


def slot_logps(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    head: Head,
) -> Float[Array, "R C"]:
    """Log-probability of each target under the state in its slot, in nats.

    Chunk by chunk, and the backward pass makes each chunk's logits again from its
    states and normalizers, so that no [R C V] array exists in either direction. Only
    where one chunk holds all slots, its logits are kept. On a mesh, rows are split over
    its batch axes, slots over its sequence and words over its tensor axis.

    Args:
      hidden: States after the final norm, in the dtype of the products.
      kernel: The head, or the transposed embedding; cast to `hidden`'s dtype.
      targets: Token ids in [0, V); what a slot without a token gives is anything.
      head: Soft cap and chunk size.

    Returns:
      In float32, or wider if `hidden` is.
    """
    num_slots = targets.shape[1]
    missing = -num_slots % _num_parts()
    if missing:
        hidden = jnp.pad(hidden, ((0, 0), (0, missing), (0, 0)))
        targets = jnp.pad(targets, ((0, 0), (0, missing)))
    logps: Array = _slot_logps(hidden, kernel, targets, head)
    return logps[:, :num_slots] if missing else logps


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _slot_logps(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    head: Head,
) -> Float[Array, "R C"]:
    """The same, of slots that the devices share evenly."""
    return _forward(hidden, kernel, targets, head)[0]


class _Found(NamedTuple):
    """What the forward pass finds."""

    logps: Any  # Float[Array, "R C"], or its specs
    log_normalizer: Any  # Float[Array, "R C"]
    logits: Any  # Float[Array, "R C V"]; None if there are several chunks


class _Saved(NamedTuple):
    """What the backward pass needs."""

    hidden: Any  # Float[Array, "R C D"], or its specs
    kernel: Any  # Float[Array, "D V"]
    targets: Any  # Int[Array, "R C"]
    log_normalizer: Any  # Float[Array, "R C"]
    logits: Any  # as of `_Found`


def _forward(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    head: Head,
) -> tuple[Float[Array, "R C"], _Saved]:
    """The log-probabilities, and what the backward pass needs."""
    is_one = head.chunk * _num_parts() >= targets.shape[1]
    here = _at_once if is_one else _by_chunks
    local = functools.partial(here, head=head, axis=_tensor_axis())
    found = _Found(_SLOTS, _SLOTS, _LOGITS if is_one else None)
    logps, normalizer, logits = _on_devices(local, (_SLOTS, _WORDS, _SLOTS), found)(
        hidden, kernel.astype(hidden.dtype), targets
    )
    return logps, _Saved(hidden, kernel, targets, normalizer, logits)


def _backward(
    head: Head, saved: _Saved, cotangent: Float[Array, "R C"]
) -> tuple[Float[Array, "R C D"], Float[Array, "D V"], None]:
    """Gradients of states and kernel."""
    local = functools.partial(_gradients, head=head, axis=_tensor_axis())
    kept = None if saved.logits is None else _LOGITS
    specs = _Saved(_SLOTS, _WORDS, _SLOTS, _SLOTS, kept)
    cast = saved._replace(kernel=saved.kernel.astype(saved.hidden.dtype))
    grad_hidden, grad_kernel = _on_devices(local, (specs, _SLOTS), (_SLOTS, _PARTS))(
        cast, cotangent
    )
    return grad_hidden, grad_kernel.astype(saved.kernel.dtype), None


_slot_logps.defvjp(_forward, _backward)


def _at_once(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    *,
    head: Head,
    axis: str | None,
) -> _Found:
    """One device's log-probabilities, with all of its logits."""
    logits = _logits(hidden, kernel, head)
    normalizer = _logsumexp(logits, axis)
    own = _own_targets(targets, kernel.shape[1], axis)
    return _Found(_chosen(logits, own, axis) - normalizer, normalizer, logits)


def _by_chunks(
    hidden: Float[Array, "R C D"],
    kernel: Float[Array, "D V"],
    targets: Int[Array, "R C"],
    *,
    head: Head,
    axis: str | None,
) -> _Found:
    """One device's log-probabilities and normalizers."""

    def chunk(_: None, xs: tuple[Array, Array]) -> tuple[None, tuple[Array, Array]]:
        found = _at_once(xs[0], kernel, xs[1], head=head, axis=axis)
        return None, (found.logps, found.log_normalizer)

    split = functools.partial(_chunks, size=head.chunk)
    _, (logps, normalizer) = jax.lax.scan(chunk, None, (split(hidden), split(targets)))
    num_slots = targets.shape[1]
    return _Found(_joined(logps, num_slots), _joined(normalizer, num_slots), None)


def _gradients(
    saved: _Saved, cotangent: Float[Array, "R C"], *, head: Head, axis: str | None
) -> tuple[Float[Array, "R C D"], Float[Array, "P V"]]:
    """One device's gradients, summed over those that share a side of them.

    Of the kernel's, each device keeps the part whose weights it holds.
    """
    hidden, kernel, targets, log_normalizer, logits = saved
    own = _own_targets(targets, kernel.shape[1], axis)
    parts = (hidden, own, log_normalizer, cotangent)
    slopes = functools.partial(_slopes, kernel=kernel, head=head)
    if logits is not None:
        by_state, total = slopes(parts, logits)
    else:

        def chunk(total: Array, xs: tuple[Array, ...]) -> tuple[Array, Array]:
            by_state, by_kernel = slopes(xs, _logits(xs[0], kernel, head))
            return total + by_kernel, by_state

        start = jnp.zeros(kernel.shape, log_normalizer.dtype)
        if axis is not None:
            start = jax.lax.pcast(start, (_DATA, *_WEIGHTS, axis), to="varying")
        split = functools.partial(_chunks, size=head.chunk)
        total, by_state = jax.lax.scan(chunk, start, tuple(map(split, parts)))
        by_state = _joined(by_state, targets.shape[1])
    if axis is not None:
        total = jax.lax.psum_scatter(total, _WEIGHTS, tiled=True)
        total = jax.lax.psum(total, _DATA)
    return _sum_over(by_state, axis), total


def _slopes(
    parts: tuple[Array, ...],
    logits: Float[Array, "R C V"],
    *,
    kernel: Float[Array, "D V"],
    head: Head,
) -> tuple[Float[Array, "R C D"], Float[Array, "D V"]]:
    """What some slots give to the gradients of states and kernel."""
    # slots in one dimension: with two, a CPU copies `change` for each product
    states = parts[0].reshape(-1, kernel.shape[0])
    ids, normalizer, weight = (part.reshape(-1, 1) for part in parts[1:])
    logits = logits.reshape(-1, kernel.shape[1])
    words = jnp.arange(kernel.shape[1])
    # d logp / d logit = 1 at the target, less the probability everywhere
    change = ((words == ids) - jnp.exp(logits - normalizer)) * weight
    if head.softcap is not None:
        change = change * (1.0 - jnp.square(logits / head.softcap))
    change = change.astype(states.dtype)
    by_state = jnp.einsum("nv,dv->nd", change, kernel).reshape(parts[0].shape)
    by_kernel = jnp.einsum(
        "nd,nv->dv", states, change, preferred_element_type=normalizer.dtype
    )
    return by_state, by_kernel


def _chosen(
    logits: Float[Array, "R C V"], own: Int[Array, "R C"], axis: str | None
) -> Float[Array, "R C"]:
    """The logit of each target, wherever it is."""
    chosen = jnp.take_along_axis(logits, jnp.maximum(own, 0)[..., None], axis=-1)
    return _sum_over(jnp.where(own >= 0, chosen[..., 0], 0.0), axis)


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


def _num_parts() -> int:
    """Devices that share the slots of a row."""
    return jax.sharding.get_abstract_mesh().shape.get(_SEQUENCE, 1)


def _on_devices(local, in_specs, out_specs):
    """The function on each device's part of its arguments."""
    if jax.sharding.get_abstract_mesh().empty:
        return local
    return jax.shard_map(local, in_specs=in_specs, out_specs=out_specs)
