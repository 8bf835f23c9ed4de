"""Tests of `rlaif_jax.commands.policy`."""

import logging
from typing import get_args

import pytest

from rlaif_jax.commands.policy import load_policy
from rlaif_jax.commands.rows import DECODED, PADDED
from rlaif_jax.config_parts import MeshConfig, ModelConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.models.attending.support import BACKENDS
from rlaif_jax.models.remat import REMATS
from rlaif_jax.sharding.mesh import build_mesh


@pytest.fixture
def load(world):
    """Loads a tiny model with an attention of one's choice."""

    def call(attention, rows=PADDED, preset="lab-tiny", remat="none", **axes):
        model = ModelConfig(
            preset=preset,
            tokenizer=world / "tokenizer",
            attention=attention,
            remat=remat,
        )
        mesh = build_mesh(MeshConfig(**axes))
        return load_policy(model, mesh, rows=rows, num_tokens=24)

    return call


def test_the_config_names_every_backend():
    named = get_args(ModelConfig.model_fields["attention"].annotation)
    assert named == ("auto", *BACKENDS)


def test_the_config_names_every_rematerialization():
    named = get_args(ModelConfig.model_fields["remat"].annotation)
    assert named == tuple(REMATS)


def test_moving_activations_to_a_memory_that_is_not_there_is_refused(load):
    with pytest.raises(UsageError, match=r"remat=offload .* use remat=full"):
        load("auto", remat="offload")


def test_decoding_cannot_split_rows(load):
    with pytest.raises(UsageError, match=r"mesh.sequence=2 splits .* use mesh.data"):
        load("auto", DECODED, sequence=2)


@pytest.mark.parametrize("rows", [PADDED, DECODED], ids=["padded", "decoded"])
def test_auto_is_xla_here_and_said(load, rows, caplog):
    with caplog.at_level(logging.INFO, logger="rlaif_jax"):
        assert load("auto", rows).config.attention == "xla"
    assert "attention: xla (auto on cpu)" in caplog.text


def test_what_is_asked_for_is_used(load):
    assert load("blocks").config.attention == "blocks"


def test_what_cannot_work_is_refused_before_any_weights(load):
    with pytest.raises(UsageError, match="attention=splash runs on tpu, and this is"):
        load("splash")
    with pytest.raises(UsageError, match="blocks cannot do decoding with a cache"):
        load("blocks", DECODED)
