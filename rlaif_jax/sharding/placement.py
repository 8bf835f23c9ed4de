"""Puts trees of parameters, and batches of rows, onto a mesh."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import (
    AbstractMesh,
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
)

from rlaif_jax.errors import UsageError
from rlaif_jax.sharding.mesh import BATCH_AXES, batch_divisor
from rlaif_jax.sharding.rules import FSDP_TENSOR, Rules, partition_spec


def param_shardings(axes_tree: Any, mesh: Mesh, rules: Rules = FSDP_TENSOR) -> Any:
    """The sharding of every parameter.

    Args:
      axes_tree: A tree whose leaves are tuples of logical axis names, one name a
        dimension.
      mesh: The devices.
      rules: Mesh axes of each logical axis.

    Returns:
      A tree of the same structure, of `NamedSharding`s.

    Raises:
      KeyError: If an axis has no rule.
    """
    return jax.tree.map(
        lambda axes: NamedSharding(mesh, partition_spec(axes, rules)),
        axes_tree,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def require_divisible(tree: Any, shardings: Any) -> None:
    """Checks that every mesh axis divides the dimension that it splits.

    Args:
      tree: Anything with shapes: arrays or `jax.ShapeDtypeStruct`s.
      shardings: A tree of the same structure; what is not a `NamedSharding` splits
        nothing.

    Raises:
      UsageError: If one does not; the message names the parameter and dimension.
    """

    def check(path: tuple[Any, ...], leaf: Any, sharding: Sharding) -> None:
        if not isinstance(sharding, NamedSharding):
            return
        for dimension, axes in enumerate(sharding.spec):
            names = (axes,) if isinstance(axes, str) else axes or ()
            parts = math.prod(sharding.mesh.shape[name] for name in names)
            if leaf.shape[dimension] % parts:
                where = jax.tree_util.keystr(path, simple=True, separator=".")
                raise UsageError(
                    f"mesh axis {'x'.join(names)} of {parts} devices does not divide "
                    f"dimension {dimension} of {where}, which is "
                    f"{leaf.shape[dimension]} of {tuple(leaf.shape)}: "
                    "choose a smaller one"
                )

    jax.tree_util.tree_map_with_path(check, tree, shardings)


def derived_shapes(function: Callable[[Any], Any], tree: Any, mesh: Mesh) -> Any:
    """The shapes of what a function makes of arrays, sharded as JAX's types say.

    A result has the sharding of what it is made from, less the dimensions that were
    summed up: zeros like a parameter lie like it, and zeros like the means of its
    rows lie like those. What is made of nothing is on every device.

    Args:
      function: Of arrays like the tree's; it is traced only.
      tree: Of `jax.ShapeDtypeStruct`s with `NamedSharding`s that divide them.
      mesh: Of these.

    Returns:
      A tree like the function's result, of `jax.ShapeDtypeStruct`s with shardings.
    """
    named = mesh.abstract_mesh
    explicit = AbstractMesh(
        named.axis_sizes, named.axis_names, (AxisType.Explicit,) * len(mesh.shape)
    )

    def typed(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        assert isinstance(leaf.sharding, NamedSharding)  # who calls has seen to it
        return leaf.update(sharding=NamedSharding(explicit, leaf.sharding.spec))

    def placed(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        is_sharded = isinstance(leaf.sharding, NamedSharding)
        spec = leaf.sharding.spec if is_sharded else PartitionSpec()
        return leaf.update(sharding=NamedSharding(mesh, spec))

    with jax.sharding.use_abstract_mesh(explicit):
        results = jax.eval_shape(function, jax.tree.map(typed, tree))
    return jax.tree.map(placed, results)


def place_params(
    tree: Any, axes_tree: Any, mesh: Mesh, rules: Rules = FSDP_TENSOR
) -> Any:
    """The parameters as global arrays, sharded by their axes' names.

    Args:
      tree: Arrays of the host, the same on every one, or of its devices.
      axes_tree: A tree of the same structure, of tuples of logical axis names.
      mesh: The devices.
      rules: Mesh axes of each logical axis.

    Returns:
      The tree, of `jax.Array`s on the mesh.

    Raises:
      UsageError: If a mesh axis does not divide a dimension that it splits.
    """
    shardings = param_shardings(axes_tree, mesh, rules)
    require_divisible(tree, shardings)
    return jax.tree.map(_place, tree, shardings)


def place_batch(host_arrays: Any, mesh: Mesh) -> Any:
    """A batch as global arrays, its rows split over the data and fsdp axes.

    Args:
      host_arrays: A tree of NumPy arrays with rows first: those rows of the batch
        that `host_rows` gives for this process.
      mesh: From `build_mesh`, which keeps the hosts' rows in order.

    Returns:
      The tree, of `jax.Array`s with all processes' rows.

    Raises:
      UsageError: If the rows of all processes cannot be split evenly.
    """
    sharding = NamedSharding(mesh, PartitionSpec(BATCH_AXES))
    num_hosts = len({device.process_index for device in mesh.devices.flat})

    def place(array: np.ndarray) -> jax.Array:
        num_rows = array.shape[0] * num_hosts
        if num_rows % batch_divisor(mesh):
            raise UsageError(
                f"a batch of {num_rows} rows cannot be split over data x fsdp = "
                f"{batch_divisor(mesh)} devices: choose a multiple as batch_size"
            )
        shape = (num_rows, *array.shape[1:])
        return jax.make_array_from_process_local_data(sharding, array, shape)

    return jax.tree.map(place, host_arrays)


def place_whole(host_arrays: Any, mesh: Mesh) -> Any:
    """Arrays that every device holds whole.

    Args:
      host_arrays: A tree of arrays, the same on every process.
      mesh: The devices.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda array: _place(array, everywhere), host_arrays)


def host_rows(global_batch: int, process_index: int, process_count: int) -> slice:
    """Which rows of a batch one process provides.

    Raises:
      UsageError: If the processes cannot have equally many.
      ValueError: If there is no such process.
    """
    if not 0 <= process_index < process_count:
        raise ValueError(f"process {process_index} is not in [0, {process_count})")
    if global_batch % process_count:
        raise UsageError(
            f"a batch of {global_batch} rows cannot be split over {process_count} "
            "processes: choose a multiple as batch_size"
        )
    rows = global_batch // process_count
    return slice(process_index * rows, (process_index + 1) * rows)


def _place(array: np.ndarray | jax.Array, sharding: NamedSharding) -> jax.Array:
    """One array on the mesh."""
    if isinstance(array, jax.Array):
        return jax.device_put(array, sharding)
    # device_put would first compare the whole array between the hosts
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
