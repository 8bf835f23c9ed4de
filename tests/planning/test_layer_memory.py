"""Tests of `rlaif_jax.planning.layer_memory`; `test_memory_model` has XLA's word."""

import pytest

from rlaif_jax.models.registry import preset
from rlaif_jax.planning.device_share import DeviceShare
from rlaif_jax.planning.layer_memory import Arrays, backward_work, forward_work, kept

MISTRAL = preset("mistral-7b-v0.1").replace(compute_dtype="bfloat16")


def share(**changes) -> DeviceShare:
    return DeviceShare(MISTRAL.replace(**changes), {"fsdp": 8}, rows=8, length=512)


def test_full_keeps_the_layers_input_alone():
    # 512 tokens of 4096 numbers of 2 bytes
    assert kept(share(remat="full")).bytes_of(share()) == 512 * 4096 * 2


def test_offload_keeps_nothing_on_the_device():
    assert kept(share(remat="offload")) == Arrays()


@pytest.mark.parametrize("attention", ["xla", "blocks", "splash"])
def test_policies_keep_less_and_less(attention):
    sizes = [
        kept(share(remat=remat, attention=attention)).bytes_of(share())
        for remat in ("none", "dots", "attention", "full")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes[:3])) == 3


def test_scores_are_float32_and_only_one_backend_has_them():
    dense, blocks = (kept(share(attention=one)) for one in ("xla", "blocks"))
    assert (dense.scores, blocks.scores) == (2, 0)
    # 32 heads of 512 x 512 scores
    assert Arrays(scores=1).bytes_of(share()) == 32 * 512 * 512 * 4


def test_experts_without_a_kernel_multiply_all_rows():
    mixture = preset("mixtral-8x7b-v0.1")
    there = DeviceShare(mixture, {"fsdp": 8}, rows=8, length=512)
    for work in (backward_work, forward_work):
        spread, not_spread = (
            work(there, spreads_experts=spreads) for spreads in (True, False)
        )
        assert spread > not_spread
        dense = share(remat="full")
        assert work(dense, spreads_experts=True) == work(dense, spreads_experts=False)
