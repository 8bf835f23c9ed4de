"""Llama's files, and those of families that changed little of them."""

from typing import NamedTuple

from rlaif_jax.checkpoint.entries import Entry
from rlaif_jax.checkpoint.families.family import Family
from rlaif_jax.checkpoint.hf_fields import Fields, rope_document
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.typing import Json

LAYER = "model.layers.{layer}."


class Assumed(NamedTuple):
    """What transformers assumes of fields that a file leaves out."""

    max_positions: int
    kv_heads: int | None = None  # as many as query heads
    head_dim: int | None = None  # hidden_size / num_attention_heads
    theta: float = 10_000.0
    norm_eps: float = 1e-6
    bos: int | None = 1
    eos: int | None = 2
    tied: bool = False


def read_sizes(fields: Fields, assumed: Assumed) -> Json:
    """What all these families have."""
    heads, embed = fields.need("num_attention_heads"), fields.need("hidden_size")
    if fields.has("num_key_value_heads") or assumed.kv_heads is None:
        grouped = fields.heads("num_attention_heads", "num_key_value_heads")
    else:
        grouped = {"kv_heads": assumed.kv_heads, "q_groups": heads // assumed.kv_heads}
    return {
        "vocab_size": fields.need("vocab_size"),
        "embed": embed,
        "num_layers": fields.need("num_hidden_layers"),
        **grouped,
        "head_dim": fields.get("head_dim", assumed.head_dim or embed // heads),
        "ffw": fields.need("intermediate_size"),
        "max_positions": fields.get("max_position_embeddings", assumed.max_positions),
        "norm_eps": float(fields.get("rms_norm_eps", assumed.norm_eps)),
        "tie_embeddings": fields.get("tie_word_embeddings", assumed.tied),
        **fields.rope(theta=assumed.theta),
        **fields.tokens(bos=assumed.bos, eos=assumed.eos),
    }


def require_silu(fields: Fields) -> None:
    """Refuses another activation than that of all these families but Gemma."""
    fields.only("hidden_act", "silu", "swish")


def write_sizes(config: TransformerConfig) -> Json:
    """The fields that `read_sizes` reads."""
    return {
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.embed,
        "intermediate_size": config.ffw,
        "max_position_embeddings": config.max_positions,
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.norm_eps,
        **rope_document(config),
    }


def attention_entries(config: TransformerConfig) -> tuple[Entry, ...]:
    """The attention's parameters, biases and norms among them if there are any."""
    entries = [
        Entry(("layers", "attention", "q"), LAYER + "self_attn.q_proj.weight", 1),
        Entry(("layers", "attention", "k"), LAYER + "self_attn.k_proj.weight", 1),
        Entry(("layers", "attention", "v"), LAYER + "self_attn.v_proj.weight", 1),
        Entry(("layers", "attention", "o"), LAYER + "self_attn.o_proj.weight", 3),
    ]
    biased = ["q", "k", "v"] * config.qkv_bias + ["o"] * config.out_bias
    for name in biased:
        path = ("layers", "attention", f"{name}_bias")
        entries.append(Entry(path, f"{LAYER}self_attn.{name}_proj.bias", 0))
    for name in ["q", "k"] * config.qk_norm:
        path = ("layers", "attention", f"{name}_norm", "scale")
        entries.append(Entry(path, f"{LAYER}self_attn.{name}_norm.weight"))
    return tuple(entries)


def end_entries(config: TransformerConfig) -> tuple[Entry, ...]:
    """Embedding, final norm, and head unless it is the embedding."""
    entries = (
        Entry(("embedding",), "model.embed_tokens.weight"),
        Entry(("final_norm", "scale"), "model.norm.weight"),
    )
    head = Entry(("head",), "lm_head.weight", 1)
    return entries if config.tie_embeddings else (*entries, head)


def mlp_entries(config: TransformerConfig) -> tuple[Entry, ...]:
    """The gated MLP's parameters."""
    del config
    return (
        Entry(("layers", "mlp", "gate"), LAYER + "mlp.gate_proj.weight", 1),
        Entry(("layers", "mlp", "up"), LAYER + "mlp.up_proj.weight", 1),
        Entry(("layers", "mlp", "down"), LAYER + "mlp.down_proj.weight", 1),
    )


def norm_entries(config: TransformerConfig) -> tuple[Entry, ...]:
    """The norms before attention and MLP."""
    del config
    return (
        Entry(("layers", "attention_norm", "scale"), LAYER + "input_layernorm.weight"),
        Entry(
            ("layers", "mlp_norm", "scale"), LAYER + "post_attention_layernorm.weight"
        ),
    )


def entries(config: TransformerConfig) -> tuple[Entry, ...]:
    """Every parameter of Llama."""
    parts = (end_entries, norm_entries, attention_entries, mlp_entries)
    return tuple(entry for part in parts for entry in part(config))


def _read(fields: Fields) -> Json:
    require_silu(fields)
    fields.only("mlp_bias", False)
    fields.only("sliding_window")
    bias = fields.get("attention_bias", False)
    sizes = read_sizes(fields, Assumed(max_positions=2048))
    return sizes | {"qkv_bias": bias, "out_bias": bias}


def _write(config: TransformerConfig) -> Json:
    return write_sizes(config) | {
        "attention_bias": config.qkv_bias,
        "mlp_bias": False,
    }


LLAMA = Family("llama", "LlamaForCausalLM", "llama", _read, _write, entries)
