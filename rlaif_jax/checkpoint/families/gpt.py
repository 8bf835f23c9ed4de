"""The files of GPT-NeoX, whose sizes Pythia are, and of GPT-2."""

from rlaif_jax.checkpoint.entries import Entry, Part
from rlaif_jax.checkpoint.families.family import Family
from rlaif_jax.checkpoint.hf_fields import Fields, rope_document
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.typing import Json

_NEOX_LAYER = "gpt_neox.layers.{layer}."
_GPT2_LAYER = "transformer.h.{layer}."
_ACTIVATIONS = {  # transformers' names of two functions
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_NORMS = {"scale": "weight", "bias": "bias"}


def _activation(fields: Fields, name: str, default: str) -> str:
    fields.only(name, *_ACTIVATIONS)
    return _ACTIVATIONS[fields.get(name, default)]


def _their_activation(config: TransformerConfig, tanh: str) -> str:
    return "gelu" if config.activation == "gelu" else tanh


def _read_neox(fields: Fields) -> Json:
    fields.ignore("hidden_dropout", "classifier_dropout", "attention_dropout")
    fields.ignore("is_decoder", "pretrained_tokenizer")
    bias = fields.get("attention_bias", True)
    heads = fields.heads("num_attention_heads")
    embed = fields.need("hidden_size")
    rope = fields.rope(
        theta=float(fields.get("rotary_emb_base", 10_000)),
        fraction=fields.get("rotary_pct", 0.25),
    )
    return {
        "vocab_size": fields.need("vocab_size"),
        "embed": embed,
        "num_layers": fields.need("num_hidden_layers"),
        **heads,
        "head_dim": embed // heads["kv_heads"],
        "ffw": fields.need("intermediate_size"),
        "max_positions": fields.get("max_position_embeddings", 2048),
        "norm_eps": float(fields.get("layer_norm_eps", 1e-5)),
        "norm": "layer",
        "parallel_residual": fields.get("use_parallel_residual", True),
        "qkv_bias": bias,
        "out_bias": bias,
        "mlp_bias": True,
        "gated": False,
        "activation": _activation(fields, "hidden_act", "gelu"),
        "tie_embeddings": fields.get("tie_word_embeddings", False),
        **rope,
        **fields.tokens(bos=0, eos=2),
    }


def _write_neox(config: TransformerConfig) -> Json:
    return {
        "attention_bias": config.qkv_bias,
        "hidden_act": _their_activation(config, "gelu_fast"),
        "hidden_dropout": 0.0,
        "hidden_size": config.embed,
        "intermediate_size": config.ffw,
        "layer_norm_eps": config.norm_eps,
        "max_position_embeddings": config.max_positions,
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "rotary_emb_base": config.rope_theta,  # for transformers before 5
        "rotary_pct": config.rope_fraction,
        "use_parallel_residual": config.parallel_residual,
        **rope_document(config, ["fraction"]),
    }


def _norm(path: str, name: str) -> tuple[Entry, ...]:
    """A layer norm's two parameters."""
    where = tuple(path.split("."))
    return tuple(Entry((*where, k), f"{name}.{v}") for k, v in _NORMS.items())


def _neox_entries(config: TransformerConfig) -> tuple[Entry, ...]:
    attention, mlp = _NEOX_LAYER + "attention.", _NEOX_LAYER + "mlp."
    fused = attention + "query_key_value."
    entries = [
        Entry(("embedding",), "gpt_neox.embed_in.weight"),
        *_norm("layers.attention_norm", _NEOX_LAYER + "input_layernorm"),
        *_norm("layers.mlp_norm", _NEOX_LAYER + "post_attention_layernorm"),
        *_norm("final_norm", "gpt_neox.final_layer_norm"),
        Entry(("layers", "attention", "o"), attention + "dense.weight", 3),
        Entry(("layers", "mlp", "up"), mlp + "dense_h_to_4h.weight", 1),
        Entry(("layers", "mlp", "up_bias"), mlp + "dense_h_to_4h.bias", 0),
        Entry(("layers", "mlp", "down"), mlp + "dense_4h_to_h.weight", 1),
        Entry(("layers", "mlp", "down_bias"), mlp + "dense_4h_to_h.bias", 0),
    ]
    if config.out_bias:
        entries.append(
            Entry(("layers", "attention", "o_bias"), attention + "dense.bias", 0)
        )
    # [head, which, head_dim] in one tensor: each head's query, key and value together
    for index, name in enumerate("qkv"):
        axis = 3 if name == "q" else 2
        part = Part(axis=axis, index=index, count=3)
        path = ("layers", "attention", name)
        entries.append(Entry(path, fused + "weight", 1, part=part))
        if config.qkv_bias:
            path = ("layers", "attention", f"{name}_bias")
            part = Part(axis=axis - 1, index=index, count=3)
            entries.append(Entry(path, fused + "bias", 0, part=part))
    if not config.tie_embeddings:
        entries.append(Entry(("head",), "embed_out.weight", 1))
    return tuple(entries)


def _read_gpt2(fields: Fields) -> Json:
    fields.only("scale_attn_weights", True)
    fields.only("scale_attn_by_inverse_layer_idx", False)
    fields.ignore("resid_pdrop", "embd_pdrop", "attn_pdrop", "reorder_and_upcast_attn")
    fields.ignore("task_specific_params", "n_ctx", "gradient_checkpointing")
    summary = ("type", "use_proj", "activation", "proj_to_labels", "first_dropout")
    fields.ignore(*(f"summary_{name}" for name in summary))
    heads, embed = fields.heads("n_head"), fields.need("n_embd")
    return {
        "vocab_size": fields.need("vocab_size"),
        "embed": embed,
        "num_layers": fields.need("n_layer"),
        **heads,
        "head_dim": embed // heads["kv_heads"],
        "ffw": fields.get("n_inner", 4 * embed),
        "max_positions": fields.get("n_positions", 1024),
        "norm_eps": float(fields.get("layer_norm_epsilon", 1e-5)),
        "norm": "layer",
        "positions": "learned",
        "qkv_bias": True,
        "out_bias": True,
        "mlp_bias": True,
        "gated": False,
        "activation": _activation(fields, "activation_function", "gelu_new"),
        "tie_embeddings": fields.get("tie_word_embeddings", True),
        **fields.tokens(bos=50_256, eos=50_256),
    }


def _write_gpt2(config: TransformerConfig) -> Json:
    return {
        "activation_function": _their_activation(config, "gelu_new"),
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "layer_norm_epsilon": config.norm_eps,
        "n_embd": config.embed,
        "n_head": config.num_heads,
        "n_inner": config.ffw,
        "n_layer": config.num_layers,
        "n_positions": config.max_positions,
        "resid_pdrop": 0.0,
    }


def _gpt2_entries(config: TransformerConfig) -> tuple[Entry, ...]:
    attention, mlp = _GPT2_LAYER + "attn.", _GPT2_LAYER + "mlp."

    def linear(path: str, name: str, num_inputs: int) -> tuple[Entry, Entry]:
        """GPT-2 keeps weights with inputs first."""
        module, weight = path.split(".")
        where = ("layers", module)
        return (
            Entry((*where, weight), f"{name}.weight", num_inputs, is_transposed=False),
            Entry((*where, f"{weight}_bias"), f"{name}.bias", 0),
        )

    entries = [
        Entry(("embedding",), "transformer.wte.weight"),
        Entry(("positions",), "transformer.wpe.weight"),
        *_norm("layers.attention_norm", _GPT2_LAYER + "ln_1"),
        *_norm("layers.mlp_norm", _GPT2_LAYER + "ln_2"),
        *_norm("final_norm", "transformer.ln_f"),
        *linear("attention.o", attention + "c_proj", 3),
        *linear("mlp.up", mlp + "c_fc", 1),
        *linear("mlp.down", mlp + "c_proj", 1),
    ]
    for index, name in enumerate("qkv"):  # all queries, then all keys, then all values
        part = Part(axis=1, index=index, count=3)
        weight = Entry(
            ("layers", "attention", name),
            attention + "c_attn.weight",
            1,
            is_transposed=False,
            part=part,
        )
        part = Part(axis=0, index=index, count=3)
        path = ("layers", "attention", f"{name}_bias")
        entries += [weight, Entry(path, attention + "c_attn.bias", 0, part=part)]
    if not config.tie_embeddings:
        entries.append(Entry(("head",), "lm_head.weight", 1))
    return tuple(entries)


GPT_NEOX = Family(
    "gpt_neox",
    "GPTNeoXForCausalLM",
    "gpt_neox",
    _read_neox,
    _write_neox,
    _neox_entries,
)
GPT2 = Family(
    "gpt2",
    "GPT2LMHeadModel",
    "gpt2",
    _read_gpt2,
    _write_gpt2,
    _gpt2_entries,
    optional_prefix="transformer.",
)
