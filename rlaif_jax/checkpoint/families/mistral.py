"""Mistral's and Mixtral's files."""

from rlaif_jax.checkpoint.entries import Entry
from rlaif_jax.checkpoint.families import llama
from rlaif_jax.checkpoint.families.family import Family
from rlaif_jax.checkpoint.hf_fields import Fields
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.typing import Json

_MOE = llama.LAYER + "block_sparse_moe."


def _read_mistral(fields: Fields) -> Json:
    llama.require_silu(fields)
    assumed = llama.Assumed(max_positions=131_072, kv_heads=8)
    sizes = llama.read_sizes(fields, assumed)
    return sizes | {"sliding_window": fields.nullable("sliding_window", 4096)}


def _write_mistral(config: TransformerConfig) -> Json:
    return llama.write_sizes(config) | {"sliding_window": config.sliding_window}


def _read_mixtral(fields: Fields) -> Json:
    fields.only("router_jitter_noise", 0)
    fields.ignore("output_router_logits", "router_aux_loss_coef")  # of training
    llama.require_silu(fields)
    assumed = llama.Assumed(max_positions=131_072, kv_heads=8, theta=1e6, norm_eps=1e-5)
    return llama.read_sizes(fields, assumed) | {
        "sliding_window": fields.get("sliding_window"),
        "num_experts": fields.get("num_local_experts", 8),
        "experts_per_token": fields.get("num_experts_per_tok", 2),
    }


def _write_mixtral(config: TransformerConfig) -> Json:
    return _write_mistral(config) | {
        "num_local_experts": config.num_experts,
        "num_experts_per_tok": config.experts_per_token,
    }


def _mixtral_entries(config: TransformerConfig) -> tuple[Entry, ...]:
    expert = _MOE + "experts.{expert}."
    return (
        *llama.end_entries(config),
        *llama.norm_entries(config),
        *llama.attention_entries(config),
        Entry(("layers", "mlp", "router"), _MOE + "gate.weight", 1),
        Entry(("layers", "mlp", "gate"), expert + "w1.weight", 1),
        Entry(("layers", "mlp", "up"), expert + "w3.weight", 1),
        Entry(("layers", "mlp", "down"), expert + "w2.weight", 1),
    )


MISTRAL = Family(
    "mistral",
    "MistralForCausalLM",
    "mistral",
    _read_mistral,
    _write_mistral,
    llama.entries,
)
MIXTRAL = Family(
    "mixtral",
    "MixtralForCausalLM",
    "mixtral",
    _read_mixtral,
    _write_mixtral,
    _mixtral_entries,
)
