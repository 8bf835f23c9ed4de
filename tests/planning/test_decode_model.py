"""Tests of `rlaif_jax.planning.decode_model`."""

import jax
import pytest

from rlaif_jax.commands.decoding import Decoding
from rlaif_jax.commands.workload import Assumed
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_file import validate
from rlaif_jax.planning.gpus import gpu_topology
from rlaif_jax.sharding.mesh import build_mesh

WEIGHTS = 7_241_732_096  # of Mistral 7B
ASSUMED = Assumed("mistral-7b-v0.1", "float32", None, None, None)
DOCUMENT = {
    "model": {"path": "nowhere", "compute_dtype": "bfloat16"},
    "prompts": "p",
    "batch_size": 16,
    "tokens": {"max_prompt_tokens": 256, "max_completion_tokens": 257},
}


def found(**mesh):
    topology = gpu_topology("h100:8", None)
    config = validate(SampleConfig, DOCUMENT | {"mesh": mesh})
    devices = build_mesh(config.mesh, topology.devices)
    with jax.set_mesh(devices):
        work = Decoding(config=config, assumed=ASSUMED, mesh=devices)
        (one,) = work.modelled(topology)
    return one


def test_decoding_takes_weights_as_read_and_a_cache():
    one = found(fsdp=1, tensor=8)
    assert one.argument_bytes == pytest.approx(4 * WEIGHTS / 8, rel=0.01)
    # 16 rows of 512 slots, one of 8 heads of 128 for keys and one for values, 32 layers
    cache = 16 * 512 * 128 * 2 * 32 * 2
    cast = 2 * WEIGHTS / 8
    # and 16 rows' logits, and the layer that computes 16 prompts of 256
    assert cache + cast < one.temporary_bytes < 1.3 * (cache + cast)


def test_every_token_reads_the_weights_and_fsdp_gathers_them():
    split, gathered = found(fsdp=1, tensor=8), found(fsdp=8)
    assert split.memory_traffic > 257 * 2 * WEIGHTS / 8
    assert gathered.collective_bytes["all-gather"] == pytest.approx(
        257 * 2 * WEIGHTS * 7 / 8, rel=0.01
    )
    assert "all-gather" not in split.collective_bytes
    assert gathered.bound_by == "links"
