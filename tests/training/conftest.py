"""A model small enough to train in a test, and devices to train it on."""

import dataclasses
import json
from pathlib import Path

import jax
import pytest

from rlaif_jax.config_parts import (
    AdamWConfig,
    CheckpointConfig,
    GuardConfig,
    MeshConfig,
)
from rlaif_jax.models import TransformerConfig, init_params
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.plan import Session, StartModel, TrainingPlan

CONFIG = TransformerConfig(
    family="llama",
    vocab_size=32,
    embed=16,
    num_layers=2,
    kv_heads=1,
    q_groups=2,
    head_dim=8,
    ffw=16,
    max_positions=32,
    rope_theta=10000.0,
    norm_eps=1e-5,
    eos_token_id=1,
)


@pytest.fixture(scope="session")
def tiny():
    return CONFIG


@pytest.fixture(scope="session")
def params(tiny):
    return init_params(tiny, jax.random.key(0))


@pytest.fixture(scope="session")
def one_device():
    return build_mesh(MeshConfig(), jax.devices()[:1])


@pytest.fixture(scope="session")
def eight_devices():
    return build_mesh(MeshConfig(data=2, fsdp=4))


@pytest.fixture(scope="session")
def start(tiny, params):
    """Where every run of these tests starts."""
    return StartModel(
        config=tiny, tokenizer_dir=Path("no-tokenizer"), load=lambda: params
    )


@pytest.fixture(scope="session")
def plan():
    """A short plan, with fields replaced."""

    def make(**changes):
        usual = TrainingPlan(
            optimizer=AdamWConfig(learning_rate=0.02),
            batch_size=8,
            epochs=2,
            max_steps=None,
            seed=0,
            checkpoint=CheckpointConfig(every_steps=2, keep=2),
            microbatches=1,
            guard=GuardConfig(),
        )
        return dataclasses.replace(usual, **changes)

    return make


@pytest.fixture
def session(tmp_path, one_device):
    """A session in a folder of its own, with fields replaced."""

    def make(name="run", **changes):
        usual = Session(
            out=tmp_path / name,
            mesh=one_device,
            progress=lambda step, total, metrics: None,
            stop=lambda step: False,
        )
        return dataclasses.replace(usual, **changes)

    return make


@pytest.fixture(scope="session")
def metrics_of():
    """The metrics of a session's run, a dictionary a step."""

    def read(session):
        text = (session.out / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    return read
