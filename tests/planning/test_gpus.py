"""Tests of `rlaif_jax.planning.gpus`."""

import pytest

from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.planning.gpus import KINDS, gpu_topology, is_gpus
from rlaif_jax.sharding.mesh import build_mesh


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_figures(kind):
    topology = gpu_topology(f"{kind}:4", None)
    assert topology.chip.flops > 1e14
    assert topology.memory == 0.75 * topology.chip.memory


def test_hosts_have_eight_each_and_a_mesh_lies_on_them():
    topology = gpu_topology("h200:16", 400.0)
    assert [gpu.process_index for gpu in topology.devices] == [0] * 8 + [1] * 8
    assert topology.links == (450e9, 50e9, 8)
    mesh = build_mesh(MeshConfig(tensor=4), topology.devices)
    assert mesh.shape["fsdp"] == 4
    with pytest.raises(UsageError, match="does not divide the 8 devices of one host"):
        build_mesh(MeshConfig(tensor=16), topology.devices)


def test_names_of_tpus_are_not_gpus():
    assert is_gpus("h100:8") and is_gpus("a100-80gb:4") and is_gpus("nothing:3")
    assert not is_gpus("v5e:4x8") and not is_gpus("v5e:8")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("h10:8", "no GPU 'h10': did you mean 'h100'"),
        ("tesla:8", "known: a100-40gb"),
        ("h100:12", "multiple"),
        ("h100:0", "1 to 8"),
    ],
)
def test_what_there_is_not_is_refused(name, told):
    with pytest.raises(UsageError, match=told):
        gpu_topology(name, None)
