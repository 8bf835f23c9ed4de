"""A small random model of every family, as transformers builds and saves it."""

import json

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rlaif_jax.checkpoint.hf_config import read_hf_config

COMMON = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,  # far from uniform, so that a mistake shows
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SIZES = COMMON | {"num_key_value_heads": 2}
GPT2 = {
    "vocab_size": 96,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 96,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CAPS = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}


def rope(**fields):
    return {"rope_theta": 500.0, "rope_type": "default"} | fields


ZOO = {
    "llama": (LlamaForCausalLM, LlamaConfig, SIZES | {"rope_parameters": rope()}),
    "tied": (
        LlamaForCausalLM,
        LlamaConfig,
        SIZES | {"tie_word_embeddings": True, "head_dim": 16},
    ),
    "llama3": (
        LlamaForCausalLM,
        LlamaConfig,
        SIZES | {"rope_parameters": LLAMA3, "max_position_embeddings": 128},
    ),
    "biased": (
        LlamaForCausalLM,
        LlamaConfig,
        SIZES
        | {
            "attention_bias": True,
            "rope_parameters": rope(rope_type="linear", factor=4.0),
        },
    ),
    "mistral": (MistralForCausalLM, MistralConfig, SIZES | {"sliding_window": 5}),
    "mixtral": (MixtralForCausalLM, MixtralConfig, SIZES | {"num_local_experts": 4}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, SIZES),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, SIZES | {"head_dim": 16}),
    "gemma2": (
        Gemma2ForCausalLM,
        Gemma2Config,
        SIZES
        | CAPS
        | {"head_dim": 16, "sliding_window": 5, "query_pre_attn_scalar": 24},
    ),
    "pythia": (GPTNeoXForCausalLM, GPTNeoXConfig, COMMON),
    "neox": (
        GPTNeoXForCausalLM,
        GPTNeoXConfig,
        COMMON
        | {
            "use_parallel_residual": False,
            "hidden_act": "gelu_fast",
            "rope_parameters": rope(partial_rotary_factor=0.5),
        },
    ),
    "gpt2": (GPT2LMHeadModel, GPT2Config, GPT2),
}


def build(kind):
    """A random model whose norms and biases are random too: ones would hide a swap."""
    model, config, fields = ZOO[kind]
    torch.manual_seed(0)
    built = model(config(**fields))
    for name, weight in built.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(weight, -0.5, 0.5)
        elif "norm" in name or "ln_" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return built.eval()


@pytest.fixture
def read_config(tmp_path):
    """Reads a document as a folder's config.json."""

    def read(document):
        (tmp_path / "config.json").write_text(json.dumps(document))
        return read_hf_config(tmp_path)

    return read


@pytest.fixture(scope="session")
def torch_model():
    """Builds the model of a kind."""
    return build


@pytest.fixture(scope="module", params=ZOO)
def exported_by_torch(request, tmp_path_factory):
    """A folder that transformers saved, and the model in it."""
    folder = tmp_path_factory.mktemp(request.param)
    model = build(request.param)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return folder, model
