"""One parameter and its tensors, one layer at a time in the host's memory."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from rlaif_jax.checkpoint.key_maps import Entry
from rlaif_jax.checkpoint.tensors import TensorFiles
from rlaif_jax.errors import UsageError

Bounds = tuple[tuple[int, int], ...]  # start and stop in each dimension


def read_parameter(
    files: TensorFiles,
    entry: Entry,
    shape: tuple[int, ...],
    dtype: str,
    sharding: Sharding,
) -> jax.Array:
    """A parameter on its devices.

    The host holds those parts of it that its own devices need, and one tensor.

    Args:
      files: Where its tensors are.
      entry: Which they are.
      shape: The parameter's, with its layer axis if it has one; no device may hold
        only some of the layers.
      dtype: The parameter's, whatever the files hold.
      sharding: Where it goes.

    Raises:
      CorruptDataError: If a tensor is missing, damaged or of the wrong shape.
      RefusedError: If a tensor holds no floats.
    """
    blocks = {
        bounds: np.empty([stop - start for start, stop in bounds], jnp.dtype(dtype))
        for bounds in _needed_here(sharding, shape)
    }
    layer_shape = shape[1:] if entry.is_stacked else shape
    tensor_shape = entry.tensor_shape(layer_shape)
    for layer in range(shape[0] if entry.is_stacked else 1):
        tensor = files.read(entry.name.format(layer=layer), tensor_shape)
        ours = entry.to_ours(tensor, layer_shape)
        for bounds, block in blocks.items():
            part = tuple(slice(*b) for b in bounds[-ours.ndim :])
            target = block[layer] if entry.is_stacked else block
            target[...] = ours[part]
    return jax.make_array_from_callback(
        shape, sharding, lambda index: blocks[_bounds(index, shape)]
    )


def tensors_of(
    entry: Entry, array: jax.Array, dtype: str
) -> Iterator[tuple[str, np.ndarray]]:
    """A parameter's tensors and their names, each gathered when it is asked for.

    Raises:
      UsageError: If other processes hold a part of it, or `dtype` cannot hold its
        values.
    """
    if not array.is_fully_addressable:
        raise UsageError("export-hf runs in one process: start it on one host only")
    for layer in range(array.shape[0] if entry.is_stacked else 1):
        ours = array
        if entry.is_stacked:
            ours = jax.lax.dynamic_index_in_dim(array, layer, keepdims=False)
        name = entry.name.format(layer=layer)
        theirs = entry.to_theirs(_cast(np.asarray(ours), dtype, name))
        yield name, np.ascontiguousarray(theirs)


def _needed_here(sharding: Sharding, shape: tuple[int, ...]) -> set[Bounds]:
    """The distinct parts that this process's devices hold."""
    indices = sharding.addressable_devices_indices_map(shape).values()
    return {_bounds(index, shape) for index in indices}


def _bounds(index: tuple[slice, ...] | None, shape: tuple[int, ...]) -> Bounds:
    """A part of an array in numbers, which unlike slices can be looked up."""
    assert index is not None  # a device of the sharding always holds a part
    spelled = (part.indices(size) for part, size in zip(index, shape, strict=True))
    return tuple((start, stop) for start, stop, _ in spelled)


def _cast(array: np.ndarray, dtype: str, name: str) -> np.ndarray:
    """The array in another dtype, refusing to make infinities of numbers."""
    with np.errstate(over="ignore"):
        cast = array.astype(jnp.dtype(dtype))
    if not np.array_equal(np.isfinite(cast), np.isfinite(array)):
        raise UsageError(f"{name} has values beyond {dtype}: export as bfloat16")
    return cast
