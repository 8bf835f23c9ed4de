"""Tests of `rlaif_jax.checkpoint.families.llama`: files as they are published."""

import pytest

from rlaif_jax.checkpoint.hf_config import hf_config
from rlaif_jax.errors import RefusedError
from rlaif_jax.models import preset

YI_6B = {
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
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 5000000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.34.0",
    "use_cache": True,
    "vocab_size": 64000,
}
DEEPSEEK_LLM_7B = YI_6B | {
    "attention_bias": False,
    "bos_token_id": 100000,
    "eos_token_id": 100001,
    "num_hidden_layers": 30,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "vocab_size": 102400,
}
LLAMA_3_1_8B = YI_6B | {
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "num_key_value_heads": 8,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "vocab_size": 128256,
}


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (YI_6B, "yi-6b"),
        (DEEPSEEK_LLM_7B, "deepseek-llm-7b"),
        (LLAMA_3_1_8B, "llama-3.1-8b"),
    ],
    ids=["yi", "deepseek", "llama3.1"],
)
def test_a_published_file_gives_the_preset_and_comes_back(read_config, document, name):
    config = read_config(document)
    assert config == preset(name)
    assert read_config(hf_config(config, "bfloat16")) == config


def test_an_attention_bias_is_on_all_four_projections(read_config):
    config = read_config(YI_6B | {"attention_bias": True})
    assert config.qkv_bias
    assert config.out_bias


def test_a_bias_of_the_mlp_is_refused(read_config):
    with pytest.raises(RefusedError, match="mlp_bias=True"):
        read_config(YI_6B | {"mlp_bias": True})
