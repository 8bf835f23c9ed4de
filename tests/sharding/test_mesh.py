"""Tests of `rlaif_jax.sharding.mesh`."""

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


def chips(*slices):
    """Stand-ins for the CPUs of several slices."""
    return [
        SimpleNamespace(
            id=number,
            process_index=number // 2,
            slice_index=index,
            platform="cpu",
            device_kind="cpu",
        )
        for number, index in enumerate(slices)
    ]


def test_slices_follow_each_other_along_the_data_axis():
    devices = chips(1, 1, 1, 1, 0, 0, 0, 0)
    within = mesh_lib._within_slice((2, 4, 1, 1, 1), 2)
    assert within == (1, 4, 1, 1, 1)
    by_slice = mesh_lib._by_slice(devices)
    assert [[d.id for d in part] for part in by_slice] == [[4, 5, 6, 7], [0, 1, 2, 3]]


@pytest.mark.parametrize("data", [1, 3])
def test_no_axis_but_data_joins_slices(data):
    config = MeshConfig(data=data, fsdp=-1)
    devices = chips(*[0] * (3 * data), *[1] * (3 * data))
    with pytest.raises(UsageError, match="and 2 slices: only the data axis may join"):
        build_mesh(config, devices)
