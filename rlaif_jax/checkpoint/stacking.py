"""One parameter and its tensors, one tensor at a time in the host's memory."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from rlaif_jax.checkpoint.entries import Bounds, Entry, Shape
from rlaif_jax.checkpoint.tensors import TensorFiles
from rlaif_jax.errors import UsageError


def read_parameter(
    files: TensorFiles, entry: Entry, shape: Shape, dtype: str, sharding: Sharding
) -> jax.Array:
    """A parameter on its devices.

    The host reads those parts of it that its own devices need, and holds those of one
    layer at a time (and of one expert, unless experts are spread over devices).

    Args:
      files: Where its tensors are.
      entry: Which they are.
      shape: The parameter's, with its stacked axes.
      dtype: The parameter's, whatever the files hold.
      sharding: Where it goes.

    Raises:
      CorruptDataError: If a tensor is missing, damaged or of the wrong shape.
      RefusedError: If a tensor holds no floats.
    """
    whole = sharding.shard_shape(shape)
    single = 0  # leading axes of which each device holds all: taken one by one
    while single < entry.num_stacked and whole[single] == shape[single]:
        single += 1
    slab_shape, slab_sharding = shape[single:], _without_leading(sharding, single)

    def slab(index: tuple[int, ...]) -> jax.Array:
        @functools.cache  # devices that hold the same block share one reading
        def block(bounds: Bounds) -> np.ndarray:
            return _read_block(files, entry, (index, bounds), shape, dtype)

        return jax.make_array_from_callback(
            slab_shape, slab_sharding, lambda part: block(_bounds(part, slab_shape))
        )

    if not single:
        return slab(())

    put = jax.jit(_put, donate_argnums=0, out_shardings=sharding)
    array = jax.jit(
        functools.partial(jnp.zeros, shape, dtype), out_shardings=sharding
    )()
    with ThreadPoolExecutor(1) as reader:  # one slab ahead, and no more in memory
        indices = list(np.ndindex(shape[:single]))
        ahead = reader.submit(slab, indices[0])
        for index, following in itertools.zip_longest(indices, indices[1:]):
            ready = ahead.result()
            if following is not None:
                ahead = reader.submit(slab, following)
            array = put(array, ready, index)
            array.block_until_ready()
    return array


def tensors_of(
    entries: Sequence[Entry], arrays: Sequence[jax.Array], dtype: str
) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of one parameter, or of all that share tensors, and their names.

    Args:
      entries: Of the parameters, parts in their order.
      arrays: The parameters.
      dtype: Of the tensors.

    Raises:
      UsageError: If other processes hold a part of it, or `dtype` cannot hold its
        values.
    """
    if not all(array.is_fully_addressable for array in arrays):
        raise UsageError("export-hf runs in one process: start it on one host only")
    entry = entries[0]
    for index in np.ndindex(arrays[0].shape[: entry.num_stacked]):
        name = entry.name_at(index)
        theirs = [
            one.to_theirs(_cast(np.asarray(array[index]), dtype, name))
            for one, array in zip(entries, arrays, strict=True)
        ]
        tensor = theirs[0]
        if entry.part is not None:
            tensor = entry.joined(theirs, arrays[0].shape[entry.num_stacked :])
        yield name, np.ascontiguousarray(tensor)


def _put(array: jax.Array, slab: jax.Array, index: tuple[Any, ...]) -> jax.Array:
    """The array with a slab at a place of its leading axes."""
    # as bits: a CPU would take bfloat16 through float32, seven times as slowly
    bits = {2: jnp.uint16, 4: jnp.uint32}[array.dtype.itemsize]
    whole, part = (jax.lax.bitcast_convert_type(x, bits) for x in (array, slab))
    part = part.reshape((1,) * len(index) + part.shape)
    start = (*index, *(0,) * slab.ndim)
    whole = jax.lax.dynamic_update_slice(whole, part, start)
    return jax.lax.bitcast_convert_type(whole, array.dtype)


def _read_block(
    files: TensorFiles,
    entry: Entry,
    place: tuple[tuple[int, ...], Bounds],
    shape: Shape,
    dtype: str,
) -> np.ndarray:
    """What one device holds of a slab.

    Args:
      files: Where the tensors are.
      entry: The parameter's.
      place: The slab's index, and the block's bounds in it.
      shape: The parameter's.
      dtype: Of the block.
    """
    index, bounds = place
    inner = shape[entry.num_stacked :]
    stacked = bounds[: entry.num_stacked - len(index)]
    bounds = bounds[len(stacked) :]
    region, tensor_shape = entry.region(bounds, inner), entry.tensor_shape(inner)
    tensors = (
        files.read(entry.name_at((*index, *inside)), tensor_shape, region.slices)
        for inside in itertools.product(*(range(*ends) for ends in stacked))
    )
    blocks = [entry.to_ours(t, region).astype(dtype, copy=False) for t in tensors]
    sizes = [stop - start for start, stop in (*stacked, *bounds)]
    return np.stack(blocks).reshape(sizes) if stacked else blocks[0]


def _without_leading(sharding: Sharding, count: int) -> Sharding:
    """The sharding of what is left when leading axes, split by nothing, are taken."""
    if not isinstance(sharding, NamedSharding):
        return sharding
    return NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[count:]))


def _bounds(index: tuple[slice, ...] | None, shape: Shape) -> Bounds:
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
