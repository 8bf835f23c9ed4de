"""Tests of `rlaif_jax.commands.rows`."""

import pytest

from rlaif_jax.commands.rows import run_rows
from rlaif_jax.config_file import validate
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.config_training import DpoConfig, SftConfig
from rlaif_jax.data.packing import Example, Pair
from rlaif_jax.sharding.mesh import build_mesh

COMMON = {
    "model": {"path": "model"},
    "tokens": {"max_prompt_tokens": 10, "max_completion_tokens": 10},
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "batch_size": 16,
}
DPO = COMMON | {"preferences": "shards"}
SFT = COMMON | {"prompts": "p", "completions": "c"}


@pytest.fixture
def mesh():
    return build_mesh(MeshConfig(data=2, fsdp=4))


def test_packed_pairs_ask_for_shared_prompts_and_rows_for_every_device(mesh):
    rows = run_rows(validate(DpoConfig, DPO), mesh, num_completions=2)
    assert rows.needs == {"padding", "packed", "shared_prefix"}
    assert rows.length == 32  # 10 + 2 x 10, up to a multiple of 8
    packed = rows.layout([Pair([1], [2], [3])] * 16)
    assert packed.token_ids.shape == (8, 32)


def test_packed_examples_ask_for_several_texts_in_a_row(mesh):
    rows = run_rows(validate(SftConfig, SFT), mesh, num_completions=1)
    assert rows.needs == {"padding", "packed"}
    assert rows.layout([Example([1], [2])] * 16).branches is None


def test_padded_rows_ask_for_padding_only(mesh):
    config = validate(DpoConfig, DPO | {"rows": {"layout": "padded"}})
    rows = run_rows(config, mesh, num_completions=2)
    assert (rows.needs, rows.length) == ({"padding"}, 24)
