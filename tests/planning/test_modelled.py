"""Tests of `rlaif_jax.planning.modelled`."""

import jax
import pytest

from rlaif_jax.commands.workload import Assumed, Workload
from rlaif_jax.config_file import validate
from rlaif_jax.config_training import DpoConfig
from rlaif_jax.planning.estimate import Estimate
from rlaif_jax.planning.gpus import gpu_topology
from rlaif_jax.sharding.mesh import build_mesh

WEIGHTS = 7_241_732_096  # of Mistral 7B
DOCUMENT = {
    "model": {"path": "nowhere", "compute_dtype": "bfloat16", "remat": "full"},
    "optimizer": {"name": "rmsprop", "learning_rate": 1e-6},
    "preferences": "p",
    "batch_size": 64,
}


def found(devices="h100:8", link_gbps=None, **changes) -> list[Estimate]:
    topology = gpu_topology(devices, link_gbps)
    config = validate(DpoConfig, DOCUMENT | changes)
    mesh = build_mesh(config.mesh, topology.devices)
    assumed = Assumed("mistral-7b-v0.1", "float32", None, None, None)
    with jax.set_mesh(mesh):
        return list(Workload.of(config, assumed, mesh).modelled(topology))


@pytest.fixture(scope="module")
def plain() -> list[Estimate]:
    return found()


def test_weights_and_their_means_are_split(plain):
    train, reference = plain
    assert train.argument_bytes == pytest.approx(2 * 4 * WEIGHTS / 8, rel=0.01)
    assert reference.argument_bytes == pytest.approx(4 * WEIGHTS / 8, rel=0.01)
    assert train.by == reference.by == "model"


def test_what_fsdp_must_send_is_sent(plain):
    train, reference = plain
    once = 2 * WEIGHTS * 7 / 8
    assert train.collective_bytes["all-gather"] == pytest.approx(2 * once, rel=1e-3)
    assert train.collective_bytes["reduce-scatter"] == pytest.approx(once, rel=1e-3)
    assert reference.collective_bytes == {"all-gather": pytest.approx(once, rel=1e-3)}


def test_every_part_of_a_batch_gathers_the_weights_again():
    (parted, _), (whole, _) = (
        found(batch_size=512, microbatches=parts) for parts in (4, 1)
    )
    assert sum(parted.collective_bytes.values()) == 4 * sum(
        whole.collective_bytes.values()
    )
    assert parted.temporary_bytes < whole.temporary_bytes
    assert parted.flops == whole.flops


def test_remat_trades_memory_for_operations(plain):
    kept, _ = found(model=DOCUMENT["model"] | {"remat": "dots"})
    assert kept.bytes_per_chip > plain[0].bytes_per_chip
    assert kept.executed_flops < plain[0].executed_flops
    assert kept.flops == plain[0].flops


def test_links_between_hosts_are_not_guessed():
    unknown, _ = found("h100:16")
    assert unknown.link_s is None
    assert unknown.least_seconds == max(unknown.compute_s, unknown.memory_s)
    known, _ = found("h100:16", link_gbps=400.0)
    # 8 devices of a host send side by side, 50e9 bytes a second each
    sent = sum(known.collective_bytes.values())
    assert known.link_s == pytest.approx(sent / 400e9)


def test_what_takes_more_than_there_is_does_not_fit():
    assert not found("a100-40gb:2")[0].fits
