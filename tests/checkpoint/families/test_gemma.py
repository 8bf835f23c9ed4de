"""Tests of `rlaif_jax.checkpoint.families.gemma`: files as they are published."""

import pytest

from rlaif_jax.checkpoint.hf_config import hf_config
from rlaif_jax.errors import RefusedError
from rlaif_jax.models import preset

GEMMA_2_2B = {
    "architectures": ["Gemma2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": 1,
    "final_logit_softcapping": 30.0,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304,
    "initializer_range": 0.02,
    "intermediate_size": 9216,
    "max_position_embeddings": 8192,
    "model_type": "gemma2",
    "num_attention_heads": 8,
    "num_hidden_layers": 26,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "torch_dtype": "float32",
    "transformers_version": "4.42.4",
    "use_cache": True,
    "vocab_size": 256000,
}


def test_a_published_file_gives_the_preset_and_comes_back(read_config):
    config = read_config(GEMMA_2_2B)
    assert config == preset("gemma-2-2b")
    assert read_config(hf_config(config, "bfloat16")) == config
    assert read_config(hf_config(preset("gemma-2-27b"), "bfloat16")) == preset(
        "gemma-2-27b"
    )


def test_null_is_no_cap_and_absent_is_transformers_default(read_config):
    none = read_config(GEMMA_2_2B | {"attn_logit_softcapping": None})
    assert none.attention_softcap is None
    absent = {k: v for k, v in GEMMA_2_2B.items() if k != "final_logit_softcapping"}
    assert read_config(absent).logit_softcap == 30.0


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_activation": "gelu"},
        {"layer_types": ["full_attention"] * 26},
        {"use_bidirectional_attention": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_activations_and_patterns_are_refused(read_config, change):
    with pytest.raises(RefusedError, match=next(iter(change))):
        read_config(GEMMA_2_2B | change)
