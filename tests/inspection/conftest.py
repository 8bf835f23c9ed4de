"""A small study with one real DPO run in it."""

import json
from pathlib import Path

import jax
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rlaif_jax.checkpoint import store
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import (
    AdamWConfig,
    CheckpointConfig,
    MeshConfig,
    ModelConfig,
    TokensConfig,
)
from rlaif_jax.config_training import DpoConfig
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.data.tokenizer import load_tokenizer
from rlaif_jax.files import write_json
from rlaif_jax.models import init_params, preset
from rlaif_jax.records import Message, Preference
from rlaif_jax.run_folder import claim
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.training.dpo import (
    DpoObjective,
    PairEncoding,
    train_dpo,
)
from rlaif_jax.training.pairs import PairEncoder
from rlaif_jax.training.plan import Session, StartModel, TrainingPlan
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.streaming import preference_source


def save_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer with an end token."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    bare.train_from_iterator([], trainer)
    PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="</s>").save_pretrained(
        folder
    )


def preference(n: int) -> Preference:
    return Preference(
        prompt=(Message(role="user", content=f"{n}?"),),
        chosen=(Message(role="assistant", content=str(n)),),
        rejected=(Message(role="assistant", content="?" * (1 + n % 3)),),
        pair_id=f"pair-{n}",
        prompt_id=f"prompt-{n}",
        chosen_generator="teacher",
        rejected_generator="student",
        p_chosen=1.0,
        verdict_both_orders="first,first",
        critic="critic",
        critic_returned_model="critic",
        template_hash="0",
        label_cost_usd=0.0,
        chosen_finish_reason="stop",
        rejected_finish_reason="length",
        split="aif",
    )


@pytest.fixture(scope="session")
def one_device():
    return build_mesh(MeshConfig(), jax.devices()[:1])


@pytest.fixture(scope="session")
def study(tmp_path_factory, one_device):
    """The folder of a study whose arm `ai` was trained for five steps on 12 pairs."""
    folder = tmp_path_factory.mktemp("study")
    save_tokenizer(folder / "tokenizer")
    tokenizer = load_tokenizer(folder / "tokenizer")
    config = preset("llama-tiny").replace(vocab_size=len(tokenizer))
    params = init_params(config, jax.random.key(0))
    reference = store.create_folder(folder / "sft", config, folder / "tokenizer")
    store.save(reference, 7, {"params": params}, {}, keep=1)
    with ShardWriter(folder / "label") as shards:
        shards.add([preference(n) for n in range(8)])
        shards.add([preference(n) for n in range(8, 12)])
        shards.finish()
    train(folder, config, params, one_device)
    row = {"arm": "ai", "seed": 0, "folder": "dpo", "reference": "sft"}
    write_json(
        folder / "study.json", {"stages": {"dpo": [row | {"preferences": "label"}]}}
    )
    return folder


def train(folder, architecture, params, mesh):
    config = DpoConfig(
        model=ModelConfig(path=folder / "sft"),
        preferences=folder / "label",
        tokens=TokensConfig(max_prompt_tokens=24, max_completion_tokens=6),
        optimizer=AdamWConfig(learning_rate=0.003),
        loss=DpoLossConfig(beta=0.2),
        batch_size=4,
        epochs=2,
        max_steps=5,
        seed=3,
        checkpoint=CheckpointConfig(every_steps=2, keep=2),
    )
    session = Session(
        out=folder / "dpo",
        mesh=mesh,
        progress=lambda step, total, metrics: None,
        stop=lambda step: False,
    )
    claim(session.out, config)
    train_dpo(
        StartModel(
            config=architecture,
            tokenizer_dir=folder / "tokenizer",
            load=lambda: params,
        ),
        preference_source(config.preferences, wait_s=0.0),
        encoding=PairEncoding(
            to_pair=PairEncoder(load_tokenizer(folder / "tokenizer"), config.tokens),
            layout=run_rows(config, mesh, num_completions=2).layout,
            reference_dir=folder / "dpo" / "reference",
        ),
        objective=DpoObjective(architecture, PreferenceLoss(config.loss)),
        plan=TrainingPlan(
            optimizer=config.optimizer,
            batch_size=config.batch_size,
            epochs=config.epochs,
            max_steps=config.max_steps,
            seed=config.seed,
            checkpoint=config.checkpoint,
            microbatches=1,
            guard=config.guard,
        ),
        session=session,
    )


@pytest.fixture
def edited_index(study, tmp_path):
    """Makes a study folder with another `study.json`."""

    def make(text: str) -> Path:
        (tmp_path / "study.json").write_text(text)
        return tmp_path

    return make


@pytest.fixture(scope="session")
def metrics(study):
    lines = (study / "dpo" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
