"""Gemma 2's files."""

from rlaif_jax.checkpoint.entries import Entry
from rlaif_jax.checkpoint.families import llama
from rlaif_jax.checkpoint.families.family import Family
from rlaif_jax.checkpoint.hf_fields import Fields
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.typing import Json

_GLOBAL_EVERY = 2  # the first layer has a window, the second has none


def _read(fields: Fields) -> Json:
    fields.only("attention_bias", False)
    fields.only("use_bidirectional_attention", False)
    for name in ("hidden_activation", "hidden_act"):  # old files have both
        fields.only(name, "gelu_pytorch_tanh")
    fields.ignore("cache_implementation")
    assumed = llama.Assumed(
        max_positions=8192, kv_heads=4, head_dim=256, bos=2, eos=1, tied=True
    )
    sizes = llama.read_sizes(fields, assumed)
    fields.layer_types(_layer_types(sizes["num_layers"]))
    return sizes | {
        "activation": "gelu_tanh",
        "norm_plus_one": True,
        "post_norms": True,
        "embedding_scale": sizes["embed"] ** 0.5,
        "query_scale": fields.get("query_pre_attn_scalar", 256) ** -0.5,
        "attention_softcap": fields.nullable("attn_logit_softcapping", 50.0),
        "logit_softcap": fields.nullable("final_logit_softcapping", 30.0),
        "sliding_window": fields.nullable("sliding_window", 4096),
        "global_every": _GLOBAL_EVERY,
    }


def _write(config: TransformerConfig) -> Json:
    assert config.query_scale is not None  # of this family
    return llama.write_sizes(config) | {
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": round(config.query_scale**-2),
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logit_softcap,
        "sliding_window": config.sliding_window,
        "layer_types": _layer_types(config.num_layers),
    }


def _layer_types(num_layers: int) -> list[str]:
    """Transformers' word for which layers have the window."""
    kinds = ("full_attention", "sliding_attention")
    return [kinds[(i + 1) % _GLOBAL_EVERY > 0] for i in range(num_layers)]


def _entries(config: TransformerConfig) -> tuple[Entry, ...]:
    norms = {
        "attention_norm": "input_layernorm",
        "attention_post_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    }
    return (
        *llama.end_entries(config),
        *llama.attention_entries(config),
        *llama.mlp_entries(config),
        *(
            Entry(("layers", ours, "scale"), f"{llama.LAYER}{theirs}.weight")
            for ours, theirs in norms.items()
        ),
    )


GEMMA2 = Family("gemma2", "Gemma2ForCausalLM", "gemma2", _read, _write, _entries)
