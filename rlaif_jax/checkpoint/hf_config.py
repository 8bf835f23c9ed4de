"""Hugging Face's `config.json`, read and written without guessing.

A field changes the computation or it does not. One that does and is not implemented
is refused by name, for a model that loads and computes something else is the worst
outcome.
"""

from pathlib import Path
from typing import Any, NamedTuple

from rlaif_jax.errors import CorruptDataError, RefusedError
from rlaif_jax.files import read_json
from rlaif_jax.models import TransformerConfig
from rlaif_jax.typing import Json


class Architecture(NamedTuple):
    """A family, and what its config class in transformers assumes of absent fields."""

    family: str
    model_type: str
    defaults: Json


ARCHITECTURES = {
    "LlamaForCausalLM": Architecture(
        "llama",
        "llama",
        {"max_position_embeddings": 2048, "num_key_value_heads": None},
    ),
    "MistralForCausalLM": Architecture(
        "mistral",
        "mistral",
        {
            "max_position_embeddings": 131_072,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
        },
    ),
}

_DEFAULTS: Json = {
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "head_dim": None,
    "sliding_window": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_REQUIRED = {
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
}
# Fields with the only values that are implemented.
_FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "attention_dropout": (0, None),
    "rope_scaling": (None,),
    "quantization_config": (None,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
}
# Fields that do not change the function computed.
_HARMLESS = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "initializer_range",
    "model_type",
    "pad_token_id",
    "pretraining_tp",  # slices the same products
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
_ROPE = {"rope_theta", "rope_parameters"}


def read_hf_config(folder: Path) -> TransformerConfig:
    """The architecture that a folder's `config.json` describes.

    Raises:
      UsageError: If there is no such file.
      RefusedError: If it asks for anything that is not implemented, by name.
      CorruptDataError: If a size is missing or impossible.
    """
    document = read_json(folder / "config.json", "Hugging Face config")
    architecture = _architecture(document)
    _require_implemented(document, architecture)
    fields = _DEFAULTS | architecture.defaults | document
    missing = sorted(_REQUIRED - fields.keys())
    if missing:
        raise CorruptDataError(f"{folder / 'config.json'} has no {missing[0]}")
    heads, kv_heads = _heads(fields)
    try:
        return TransformerConfig(
            family=architecture.family,
            vocab_size=fields["vocab_size"],
            embed=fields["hidden_size"],
            num_layers=fields["num_hidden_layers"],
            kv_heads=kv_heads,
            q_groups=heads // kv_heads,
            head_dim=fields["head_dim"] or fields["hidden_size"] // heads,
            ffw=fields["intermediate_size"],
            max_positions=fields["max_position_embeddings"],
            rope_theta=_rope_theta(document),
            norm_eps=float(fields["rms_norm_eps"]),
            sliding_window=fields["sliding_window"],
            tie_embeddings=fields["tie_word_embeddings"],
            bos_token_id=fields["bos_token_id"],
            eos_token_id=_eos_token_id(fields["eos_token_id"]),
        )
    except (TypeError, ValueError) as error:
        raise CorruptDataError(f"{folder / 'config.json'}: {error}") from error


def hf_config(config: TransformerConfig, dtype: str) -> Json:
    """The `config.json` from which transformers builds the same model."""
    name, architecture = next(
        item for item in ARCHITECTURES.items() if item[1].family == config.family
    )
    document = {
        "architectures": [name],
        "model_type": architecture.model_type,
        "attention_dropout": 0.0,
        "bos_token_id": config.bos_token_id,
        "dtype": dtype,
        "torch_dtype": dtype,  # for transformers before 5
        "eos_token_id": config.eos_token_id,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.embed,
        "initializer_range": 0.02,
        "intermediate_size": config.ffw,
        "max_position_embeddings": config.max_positions,
        "num_attention_heads": config.num_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.kv_heads,
        "pad_token_id": None,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "rope_theta": config.rope_theta,  # for transformers before 5
        "tie_word_embeddings": config.tie_embeddings,
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }
    if "sliding_window" in architecture.defaults:
        return document | {"sliding_window": config.sliding_window}
    return document | {"attention_bias": False, "mlp_bias": False}


def _architecture(document: Json) -> Architecture:
    """The one implemented architecture that the document names."""
    names = document.get("architectures") or [document.get("model_type")]
    by_type = {one.model_type: one for one in ARCHITECTURES.values()}
    known = ARCHITECTURES | by_type  # some files name no class
    if len(names) == 1 and names[0] in known:
        return known[str(names[0])]
    raise RefusedError(
        f"architecture {', '.join(map(str, names))} is not implemented: "
        f"known are {', '.join(ARCHITECTURES)}"
    )


def _require_implemented(document: Json, architecture: Architecture) -> None:
    """Refuses the first field that would change what is computed."""
    known = _REQUIRED | _DEFAULTS.keys() | architecture.defaults.keys()
    for name, value in document.items():
        if name in _FIXED:
            if value not in _FIXED[name]:
                raise RefusedError(f"config.json: {name}={value!r} is not implemented")
        elif name in known | _HARMLESS | _ROPE:
            continue
        elif value not in (None, False):
            raise RefusedError(
                f"config.json: {name}={value!r} is not known here: if it does not "
                "change what the model computes, remove it from a copy of the file"
            )
    if document.get("sliding_window") and "sliding_window" not in architecture.defaults:
        raise RefusedError(
            f"config.json: sliding_window={document['sliding_window']!r} is not "
            f"implemented for {architecture.model_type}"
        )


def _heads(fields: Json) -> tuple[int, int]:
    """The numbers of query and of key/value heads."""
    heads = fields["num_attention_heads"]
    kv_heads = fields["num_key_value_heads"] or heads
    if heads < 1 or heads % kv_heads:
        raise CorruptDataError(
            f"config.json: num_attention_heads={heads} is not a multiple of "
            f"num_key_value_heads={kv_heads}"
        )
    return heads, kv_heads


def _rope_theta(document: Json) -> float:
    """The base of the rotary angles, as transformers 5 or an earlier one wrote it."""
    parameters = document.get("rope_parameters") or {}
    kind = parameters.get("rope_type", "default")
    extra = sorted(parameters.keys() - {"rope_theta", "rope_type"})
    if kind != "default" or extra:
        raise RefusedError(
            f"config.json: rope_parameters with rope_type={kind!r}"
            f"{''.join(f', {name}' for name in extra)} is not implemented"
        )
    return float(parameters.get("rope_theta", document.get("rope_theta", 10_000.0)))


def _eos_token_id(value: int | list[int] | None) -> int:
    """The one token that ends a completion."""
    ids = value if isinstance(value, list) else [value]
    if len(ids) != 1 or not isinstance(ids[0], int):
        raise RefusedError(
            f"config.json: eos_token_id={value!r} must be one token: set it, in a copy "
            "of the file, to the one that ends an assistant's turn"
        )
    return ids[0]
