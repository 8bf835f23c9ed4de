"""Tests of `rlaif_jax.checkpoint.families.qwen`: files as they are published."""

import pytest

from rlaif_jax.checkpoint.hf_config import hf_config
from rlaif_jax.errors import RefusedError
from rlaif_jax.models import preset

QWEN2_5_7B = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "hidden_act": "silu",
    "hidden_size": 3584,
    "initializer_range": 0.02,
    "intermediate_size": 18944,
    "max_position_embeddings": 131072,
    "max_window_layers": 28,
    "model_type": "qwen2",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "use_cache": True,
    "use_mrope": False,
    "use_sliding_window": False,
    "vocab_size": 152064,
}
QWEN3_0_6B = QWEN2_5_7B | {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "head_dim": 128,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "max_position_embeddings": 32768,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "rope_scaling": None,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
}


@pytest.mark.parametrize(
    ("document", "name"),
    [(QWEN2_5_7B, "qwen2.5-7b"), (QWEN3_0_6B, "qwen3-0.6b")],
    ids=["qwen2.5", "qwen3"],
)
def test_a_published_file_gives_the_preset_and_comes_back(read_config, document, name):
    config = read_config(document)
    assert config == preset(name)
    assert read_config(hf_config(config, "bfloat16")) == config


@pytest.mark.parametrize(
    "change",
    [
        {"use_sliding_window": True},
        {"rope_scaling": {"type": "yarn", "factor": 4.0}},
        {"layer_types": ["sliding_attention"] * 28},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_window_and_yarn_are_refused(read_config, change):
    with pytest.raises(RefusedError, match=r"not implemented"):
        read_config(QWEN2_5_7B | change)
