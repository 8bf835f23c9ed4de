"""Tests of `rlaif_jax.checkpoint.hf_config`."""

import json

import pytest
from transformers import AutoConfig, LlamaConfig, MistralConfig

from rlaif_jax.checkpoint.hf_config import hf_config, read_hf_config
from rlaif_jax.errors import CorruptDataError, RefusedError, UsageError
from rlaif_jax.models import preset

# Llama-2-7b's file, as transformers 4.31 wrote it
OLD = {
    "_name_or_path": "meta-llama/Llama-2-7b-hf",
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.31.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}
MISTRAL = OLD | {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "num_key_value_heads": 8,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
}


def read(folder, document):
    (folder / "config.json").write_text(json.dumps(document))
    return read_hf_config(folder)


def test_an_old_file_gives_the_preset(tmp_path):
    assert read(tmp_path, OLD) == preset("llama-2-7b")
    assert read(tmp_path, MISTRAL) == preset("mistral-7b-v0.1")


def test_rope_theta_is_read_from_old_and_new_files(tmp_path):
    new = {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}
    assert read(tmp_path, OLD | {"rope_theta": 5e5}).rope_theta == 5e5
    assert read(tmp_path, OLD | new).rope_theta == 5e5


@pytest.mark.parametrize(
    "hf", [LlamaConfig(), MistralConfig()], ids=lambda c: c.model_type
)
def test_what_a_file_leaves_out_is_what_transformers_assumes(tmp_path, hf):
    hf.save_pretrained(tmp_path)
    whole = json.loads((tmp_path / "config.json").read_text())
    expected = read(tmp_path, whole | {"architectures": None})
    kept = {
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "model_type",
    }
    assert read(tmp_path, {name: whole[name] for name in kept}) == expected


@pytest.mark.parametrize("name", ["llama-tiny", "mistral-7b-v0.1"])
def test_transformers_reads_back_what_is_written(tmp_path, name):
    config = preset(name).replace(head_dim=24, tie_embeddings=True, rope_theta=3e4)
    document = hf_config(config, "bfloat16")
    assert read(tmp_path, document) == config
    theirs = AutoConfig.from_pretrained(tmp_path)
    assert theirs.rope_parameters["rope_theta"] == 3e4
    assert theirs.head_dim == 24
    assert theirs.num_key_value_heads == config.kv_heads
    assert theirs.tie_word_embeddings
    assert getattr(theirs, "sliding_window", None) == config.sliding_window


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architectures": ["GPTJForCausalLM"]}, "GPTJForCausalLM"),
        ({"architectures": None, "model_type": "gemma"}, "gemma"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"attention_dropout": 0.1}, "attention_dropout"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 8.0}}, "'yarn'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0, "beta": 1}}, "beta"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial": 0.5}}, "partial"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"sliding_window": 128}, "sliding_window=128"),
        ({"logit_softcapping": 30.0}, "logit_softcapping"),
        ({"eos_token_id": [128001, 128009]}, "128009"),
        ({"eos_token_id": None}, "eos_token_id"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(tmp_path, change, named):
    with pytest.raises(RefusedError) as caught:
        read(tmp_path, OLD | change)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_size": -4}, "embed"),
        ({"num_key_value_heads": 5}, "num_key_value_heads=5"),
        ({"vocab_size": "many"}, "vocab_size|not supported"),
        ({"rope_scaling": {"type": "llama3", "factor": 8.0}}, "no high_freq_factor"),
        ({"rope_scaling": {"type": "linear", "factor": -8.0}}, "must be positive"),
        ({"hidden_size": None}, "has no hidden_size"),
    ],
)
def test_an_impossible_size_is_corrupt(tmp_path, change, named):
    with pytest.raises(CorruptDataError, match=named):
        read(tmp_path, OLD | change)


def test_a_missing_size_is_named(tmp_path):
    with pytest.raises(CorruptDataError, match="hidden_size"):
        read(tmp_path, {k: v for k, v in OLD.items() if k != "hidden_size"})


def test_a_folder_without_config_is_a_wrong_path(tmp_path):
    with pytest.raises(UsageError, match="no Hugging Face config"):
        read_hf_config(tmp_path)
