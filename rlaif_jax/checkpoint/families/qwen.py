"""The files of Qwen 2, 2.5 and 3."""

from rlaif_jax.checkpoint.families import llama
from rlaif_jax.checkpoint.families.family import Family
from rlaif_jax.checkpoint.hf_fields import Fields
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.typing import Json


def _read(fields: Fields, *, head_dim: int | None) -> Json:
    llama.require_silu(fields)
    fields.only("use_sliding_window", False)
    fields.ignore("sliding_window", "max_window_layers")  # of the window not used
    assumed = llama.Assumed(
        max_positions=32_768, kv_heads=32, head_dim=head_dim, bos=None, eos=None
    )
    sizes = llama.read_sizes(fields, assumed)
    fields.layer_types(["full_attention"] * sizes["num_layers"])
    return sizes


def _read_qwen2(fields: Fields) -> Json:
    return _read(fields, head_dim=None) | {"qkv_bias": True}


def _read_qwen3(fields: Fields) -> Json:
    bias = fields.get("attention_bias", False)
    variant = {"qk_norm": True, "qkv_bias": bias, "out_bias": bias}
    return _read(fields, head_dim=128) | variant


def _write_qwen2(config: TransformerConfig) -> Json:
    return llama.write_sizes(config) | {"use_sliding_window": False}


def _write_qwen3(config: TransformerConfig) -> Json:
    return _write_qwen2(config) | {"attention_bias": config.qkv_bias}


QWEN2 = Family(
    "qwen2", "Qwen2ForCausalLM", "qwen2", _read_qwen2, _write_qwen2, llama.entries
)
QWEN3 = Family(
    "qwen3", "Qwen3ForCausalLM", "qwen3", _read_qwen3, _write_qwen3, llama.entries
)
