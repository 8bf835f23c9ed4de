"""Preference shards in TRL's DPOTrainer, which learns from them what we learn."""

import json
import math

import datasets
import jax
import jax.numpy as jnp
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import AdamWConfig, GuardConfig, TokensConfig
from rlaif_jax.data.packing import pack
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.lab.vocabulary import write_tokenizer
from rlaif_jax.optim.optimizers import build_optimizer
from rlaif_jax.records import Message, Preference
from rlaif_jax.training.dpo import (
    DpoObjective,
    PairBatch,
)
from rlaif_jax.training.guard import GuardState
from rlaif_jax.training.pairs import PairEncoder, encode_preference
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.scoring import completion_token_logps
from rlaif_jax.training.step import TrainState, train_step

# TRL and what it imports warn of what they will drop
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TOKENS = TokensConfig(template="chat", max_prompt_tokens=64, max_completion_tokens=64)
BETA, LEARNING_RATE, STEPS = 0.1, 1e-3, 3


def preference(n):
    def said(role, text):
        return (Message(role=role, content=text),)

    return Preference(
        **{name: f"{name} {n}" for name in Preference.model_fields}
        | {
            "prompt": said("user", f"What comes after {n}?"),
            "chosen": said("assistant", f"{n + 1} comes after {n}."),
            "rejected": said("assistant", "I do not know" + "!" * n),
            "p_chosen": 1.0,
            "label_cost_usd": 0.25,
            "chosen_finish_reason": "stop",
            "rejected_finish_reason": "stop",
        }
    )


PREFERENCES = [preference(n) for n in range(6)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder as from the Hub: a tokenizer with a chat template, a random Llama."""
    folder = tmp_path_factory.mktemp("model")
    write_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The shards, as anybody would load them."""
    folder = tmp_path_factory.mktemp("preferences")
    with ShardWriter(folder) as writer:
        writer.add(PREFERENCES[:4])
        writer.add(PREFERENCES[4:])
        writer.finish()
    return datasets.load_dataset(
        "parquet",
        data_files=str(folder / "*.parquet"),
        split="train",
        cache_dir=str(folder / "cache"),
    )


@pytest.fixture
def trainer(model, loaded, tmp_path):
    """TRL's, on its own defaults but for the schedule and what needs a GPU."""
    trl = pytest.importorskip("trl", reason="needs TRL: pip install trl")
    return trl.DPOTrainer(
        model=str(model),
        args=trl.DPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=len(PREFERENCES),
            max_steps=STEPS,
            beta=BETA,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=loaded,
        processing_class=AutoTokenizer.from_pretrained(model),
    )


def logged(trainer):
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def our_metrics(model):
    """Of the same steps, by the parts of our training step."""
    encode = PairEncoder(AutoTokenizer.from_pretrained(model), TOKENS)
    pairs = [encode(one) for one in PREFERENCES]
    rows = jax.tree.map(jnp.asarray, pack(pairs, length=256))
    config, params = import_hf(model)
    batch = PairBatch(rows, completion_token_logps(config, params, rows))
    optimizer = build_optimizer(
        AdamWConfig(learning_rate=LEARNING_RATE, max_grad_norm=1.0), None
    )
    objective = DpoObjective(config, PreferenceLoss(DpoLossConfig(beta=BETA)))

    @jax.jit
    def step(state):
        return train_step(
            state,
            [batch],
            loss_fn=objective,
            optimizer=optimizer,
            guard=GuardConfig(),
        )

    zero = jnp.zeros((), jnp.int32)
    state = TrainState(zero, params, optimizer.init(params), GuardState.fresh())
    for _ in range(STEPS):
        state, metrics = step(state)
        yield {name: float(value) for name, value in metrics.items()}


def test_trl_takes_the_columns_as_a_conversational_preference_data_set(loaded):
    pytest.importorskip("trl", reason="needs TRL: pip install trl")
    from trl.data_utils import is_conversational

    assert loaded.column_names == list(Preference.model_fields)
    assert loaded.to_list() == [p.model_dump(mode="json") for p in PREFERENCES]
    assert is_conversational(loaded[0])


def test_trl_reads_the_tokens_that_we_read(trainer, model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    for theirs, one in zip(trainer.train_dataset, PREFERENCES, strict=True):
        ours = encode_preference(tokenizer, one, TOKENS)
        assert theirs["prompt_ids"] == ours.prompt
        assert theirs["chosen_ids"] == ours.chosen
        assert theirs["rejected_ids"] == ours.rejected


def test_trl_learns_from_the_shards_what_we_learn(trainer, model):
    theirs = logged(trainer)
    assert theirs[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert theirs[-1]["loss"] < theirs[1]["loss"] < theirs[0]["loss"]
    for one, other in zip(our_metrics(model), theirs, strict=True):
        # accuracies are of rounding, at the start
        shared = (one.keys() & other.keys()) - {"rewards/accuracies"}
        assert {"loss", "grad_norm", "rewards/margins", "logps/rejected"} <= shared
        for name in shared:
            expected = pytest.approx(other[name], rel=1e-4, abs=1e-5)
            assert one[name] == expected, json.dumps([name, one, other])
