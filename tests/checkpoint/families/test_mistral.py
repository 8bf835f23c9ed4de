"""Tests of `rlaif_jax.checkpoint.families.mistral`: files as they are published."""

import pytest

from rlaif_jax.checkpoint.hf_config import hf_config
from rlaif_jax.errors import CorruptDataError, RefusedError
from rlaif_jax.models import preset

MIXTRAL_8X7B = {
    "architectures": ["MixtralForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mixtral",
    "num_attention_heads": 32,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "output_router_logits": False,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.02,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.36.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}
NEW_MISTRAL = {
    key: value
    for key, value in MIXTRAL_8X7B.items()
    if key
    not in {
        "num_experts_per_tok",
        "num_local_experts",
        "output_router_logits",
        "router_aux_loss_coef",
    }
} | {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "vocab_size": 32768,
}


@pytest.mark.parametrize(
    ("document", "name"),
    [(MIXTRAL_8X7B, "mixtral-8x7b-v0.1"), (NEW_MISTRAL, "mistral-7b-v0.3")],
    ids=["mixtral", "mistral"],
)
def test_a_published_file_gives_the_preset_and_comes_back(read_config, document, name):
    config = read_config(document)
    assert config == preset(name)
    assert read_config(hf_config(config, "bfloat16")) == config


def test_an_absent_window_is_the_first_releases_and_null_is_none(read_config):
    absent = {k: v for k, v in NEW_MISTRAL.items() if k != "sliding_window"}
    assert read_config(absent).sliding_window == 4096
    assert read_config(NEW_MISTRAL).sliding_window is None


def test_noise_on_the_router_is_refused(read_config):
    with pytest.raises(RefusedError, match=r"router_jitter_noise=0\.1"):
        read_config(MIXTRAL_8X7B | {"router_jitter_noise": 0.1})


def test_more_choices_than_experts_are_corrupt(read_config):
    with pytest.raises(CorruptDataError, match="9 experts a token of 8"):
        read_config(MIXTRAL_8X7B | {"num_experts_per_tok": 9})
