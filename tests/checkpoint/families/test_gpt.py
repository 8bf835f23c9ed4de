"""Tests of `rlaif_jax.checkpoint.families.gpt`: files as they are published."""

import pytest
from safetensors.numpy import load_file, save_file

from rlaif_jax.checkpoint import import_hf
from rlaif_jax.checkpoint.hf_config import hf_config
from rlaif_jax.errors import RefusedError
from rlaif_jax.models import preset

PYTHIA_2_8B = {
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_size": 2560,
    "initializer_range": 0.02,
    "intermediate_size": 10240,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "model_type": "gpt_neox",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.24.0",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": 50304,
}
GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}


@pytest.mark.parametrize(
    ("document", "name"),
    [(PYTHIA_2_8B, "pythia-2.8b"), (GPT2, "gpt2")],
    ids=["pythia", "gpt2"],
)
def test_a_published_file_gives_the_preset_and_comes_back(read_config, document, name):
    config = read_config(document)
    assert config == preset(name)
    assert read_config(hf_config(config, "bfloat16")) == config


@pytest.mark.parametrize(
    ("document", "change"),
    [
        (PYTHIA_2_8B, {"hidden_act": "relu"}),
        (GPT2, {"activation_function": "relu"}),
        (GPT2, {"scale_attn_by_inverse_layer_idx": True}),
        (GPT2, {"scale_attn_weights": False}),
        (GPT2, {"add_cross_attention": True}),
    ],
    ids=str,
)
def test_what_is_not_implemented_is_refused(read_config, document, change):
    with pytest.raises(RefusedError, match=next(iter(change))):
        read_config(document | change)


def test_tensors_without_the_prefix_are_found(torch_model, tmp_path):
    """GPT-2's own files on the hub are of the body alone."""
    torch_model("gpt2").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    expected = import_hf(tmp_path)[1]
    bare = {name.removeprefix("transformer."): t for name, t in tensors.items()}
    save_file(bare, path, metadata={"format": "pt"})
    found = import_hf(tmp_path)[1]
    assert (found["embedding"] == expected["embedding"]).all()
    same = found["layers"]["attention"]["k"] == expected["layers"]["attention"]["k"]
    assert same.all()
