"""Tests of `rlaif_jax.sharding.mesh`."""

from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.sharding import mesh as mesh_lib
from rlaif_jax.sharding.mesh import batch_divisor, build_mesh


def test_the_rest_goes_to_the_axis_of_minus_one():
    mesh = build_mesh(MeshConfig(data=2, tensor=2))
    expected = {"data": 2, "fsdp": 2, "sequence": 1, "tensor": 2, "expert": 1}
    assert dict(mesh.shape) == expected
    assert mesh.size == jax.device_count() == 8
    assert batch_divisor(mesh) == 4


def test_axes_are_auto():
    assert build_mesh(MeshConfig()).axis_types == (AxisType.Auto,) * 5


def test_given_devices_are_used_and_no_others():
    some = jax.devices()[2:6]
    assert set(build_mesh(MeshConfig(), some).devices.flat) == set(some)


@pytest.mark.parametrize("sizes", [(1, 4, 1, 1), (3, 4, 1, 1), (2, 8, 1, 1)])
def test_sizes_that_leave_or_lack_devices_are_refused(sizes):
    data, fsdp, tensor, expert = sizes
    config = MeshConfig(data=data, fsdp=fsdp, tensor=tensor, expert=expert)
    with pytest.raises(UsageError, match=rf"needs {data * fsdp} devices, .* are 8"):
        build_mesh(config)


def test_a_rest_that_is_not_whole_is_refused():
    with pytest.raises(UsageError, match="a multiple of 3 devices, and there are 8"):
        build_mesh(MeshConfig(data=3))


def test_tensor_groups_that_span_hosts_are_refused():
    hosts = [0, 0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(UsageError, match=r"tensor x expert = 8 .* 4\s+devices"):
        mesh_lib._require_rows_on_one_host((1, 1, 2, 4, 1), hosts)


def test_batch_rows_follow_the_order_of_the_hosts():
    # a physical ring visits hosts 0 1 1 0; tensor pairs stay together
    hosts = [0, 0, 1, 1, 1, 1, 0, 0]
    devices = [SimpleNamespace(process_index=h, id=i) for i, h in enumerate(hosts)]
    grid = np.array(devices, dtype=object).reshape(2, 2, 2, 1)
    ordered = mesh_lib._hosts_in_order(grid)
    assert [d.id for d in ordered.flat] == [0, 1, 6, 7, 2, 3, 4, 5]
    assert ordered.shape == grid.shape


@dataclass(frozen=True)
class Chip:
    """A stand-in for a device of one of several slices, as `mesh_utils` reads it."""

    id: int
    process_index: int
    slice_index: int
    platform: str = "tpu"
    device_kind: str = "TPU v4"
    coords: tuple[int, int, int] = (0, 0, 0)
    core_on_chip: int = 0


def chips(*slices, **kind):
    """Two of each host; hosts of a slice lie in a column, the last at its start."""
    left = Counter(slices)
    found = []
    for number, index in enumerate(slices):
        left[index] -= 1
        coords = (left[index] % 2, left[index] // 2, 0)
        found.append(Chip(number, number // 2, index, coords=coords, **kind))
    return found


def test_slices_follow_each_other_along_the_data_axis():
    """The second slice's hosts come first: a launcher may number them so."""
    devices = chips(*[1] * 8, *[0] * 8)
    mesh = build_mesh(MeshConfig(data=4, fsdp=2, tensor=2), devices)
    ids = np.array([device.id for device in mesh.devices.flat]).reshape(4, 2, 2)
    first, second = ids[:2], ids[2:]  # along data
    assert sorted(first.flat) == list(range(8, 16))
    assert sorted(second.flat) == list(range(8))
    for part in (first, second):  # the two chips of each row are one host's
        rows = part.reshape(4, 2) // 2
        assert (rows[:, 0] == rows[:, 1]).all()
        assert (np.diff(rows[:, 0]) > 0).all()


def test_hosts_of_gpus_are_not_slices():
    """XLA gives each of them a `slice_index` of its own."""
    devices = chips(0, 0, 1, 1, 2, 2, platform="gpu", device_kind="NVIDIA H100")
    mesh = build_mesh(MeshConfig(), devices)
    assert (mesh.shape["data"], mesh.shape["fsdp"]) == (1, 6)
    assert [device.id for device in mesh.devices.flat] == list(range(6))


@pytest.mark.parametrize("data", [1, 3])
def test_no_axis_but_data_joins_slices(data):
    config = MeshConfig(data=data, fsdp=-1)
    devices = chips(*[0] * (3 * data), *[1] * (3 * data))
    with pytest.raises(UsageError, match="and 2 slices: only the data axis may join"):
        build_mesh(config, devices)
