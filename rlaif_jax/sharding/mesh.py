"""The grid of devices that a run computes on."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import UsageError

AXES = ("data", "fsdp", "sequence", "tensor", "expert")
BATCH_AXES = ("data", "fsdp")


def build_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh with axes data, fsdp, sequence, tensor and expert over these devices.

    Slices of TPUs that only a data-center network joins follow each other along the
    data axis, so that nothing but the sum of gradients crosses it. Along the batch
    axes, hosts follow each other in order: then host *n* holds the *n*-th block of
    every batch's rows, whatever order suits the network best.

    Args:
      config: Devices along each axis; -1 takes what the others leave.
      devices: Those to use, or a topology's descriptions of them; every device of
        the run by default.

    Returns:
      The mesh, with `AxisType.Auto` axes: the compiler places what is not annotated.

    Raises:
      UsageError: If the sizes do not multiply to the number of devices, if the
        devices that share a row of the batch are on several hosts, or if another axis
        than data would join slices.
    """
    devices = jax.devices() if devices is None else devices
    shape = _axis_sizes(config, len(devices))
    _require_rows_on_one_host(shape, [device.process_index for device in devices])
    types = (AxisType.Auto,) * len(AXES)  # jax.make_mesh defaults to Explicit
    by_slice = _by_slice(devices)
    within = _within_slice(shape, len(by_slice))
    grids = [
        # without the option, half of a v5p's axis is refused
        mesh_utils.create_device_mesh(within, part, allow_split_physical_axes=True)
        for part in by_slice
    ]
    joined = np.concatenate([_hosts_in_order(grid) for grid in grids], axis=0)
    return Mesh(joined, AXES, axis_types=types)


def batch_divisor(mesh: Mesh) -> int:
    """What the number of rows of a batch must be a multiple of."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def _axis_sizes(config: MeshConfig, num_devices: int) -> tuple[int, ...]:
    """The sizes along `AXES`, without -1."""
    sizes = {axis: getattr(config, axis) for axis in AXES}
    named = math.prod(size for size in sizes.values() if size != -1)
    shown = " x ".join(f"{axis} {size}" for axis, size in sizes.items())
    if -1 not in sizes.values():
        if named != num_devices:
            raise UsageError(
                f"mesh {shown} needs {named} devices, and there are {num_devices}: "
                "set one axis to -1 to take what is left"
            )
    elif num_devices % named:
        raise UsageError(
            f"mesh {shown} needs a multiple of {named} devices, and there are "
            f"{num_devices}"
        )
    return tuple(num_devices // named if s == -1 else s for s in sizes.values())


def _by_slice(devices: Sequence[Any]) -> list[list[Any]]:
    """The devices of each slice of TPUs, in the order of slices; of other devices all.

    XLA numbers the hosts of GPUs in `slice_index`, too (openxla/xla#24473); weights may
    be gathered over what joins those.
    """
    found: dict[int, list[Any]] = {}
    for device in devices:
        is_tpu = device.platform == "tpu"
        index = getattr(device, "slice_index", 0) if is_tpu else 0
        found.setdefault(index, []).append(device)
    return [found[index] for index in sorted(found)]


def _within_slice(shape: tuple[int, ...], num_slices: int) -> tuple[int, ...]:
    """The sizes along `AXES` of one slice's part of the mesh."""
    data, *others = shape
    if data % num_slices:
        raise UsageError(
            f"mesh.data={data} and {num_slices} slices: only the data axis may join"
            f" them, as weights are gathered along the others: use a multiple of"
            f" {num_slices}"
        )
    return (data // num_slices, *others)


def _require_rows_on_one_host(shape: tuple[int, ...], hosts: Sequence[int]) -> None:
    """Refuses groups that share a row and would span hosts; one entry a device."""
    group = math.prod(shape[len(BATCH_AXES) :])
    smallest = min(Counter(hosts).values())
    if any(count % group for count in Counter(hosts).values()):
        raise UsageError(
            f"mesh sequence x tensor x expert = {group} does not divide the {smallest}"
            " devices of one host: use smaller ones"
        )


def _hosts_in_order(grid: np.ndarray) -> np.ndarray:
    """The grid with its batch rows sorted by host, otherwise in the same order."""
    rows = grid.reshape(math.prod(grid.shape[: len(BATCH_AXES)]), -1)
    order = np.argsort([row[0].process_index for row in rows], kind="stable")
    return rows[order].reshape(grid.shape)
