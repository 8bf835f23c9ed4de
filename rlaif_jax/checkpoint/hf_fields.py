"""The fields of a Hugging Face `config.json`, none of which may go unread.

A field changes the computation or it does not. One that does and is not implemented
is refused by name, for a model that loads and computes something else is the worst
outcome.
"""

from collections.abc import Collection, Sequence
from typing import Any

from rlaif_jax.errors import CorruptDataError, RefusedError
from rlaif_jax.models.config import RopeScaling, TransformerConfig
from rlaif_jax.typing import Json

# Fields that do not change the function computed.
_HARMLESS = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "bos_token_id",
    "dtype",
    "initializer_range",
    "model_type",
    "pad_token_id",
    "pretraining_tp",  # slices the same products
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
# Fields of every architecture, with the only values that are implemented.
_FIXED: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "attention_dropout": (0, None),
    "is_encoder_decoder": (False,),
    "quantization_config": (None,),
}
_ROPE_KEYS = {
    "default": set(),
    "linear": {"factor"},
    "llama3": {
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    },
}


class Fields:
    """One config.json; a family's reader takes what it knows, then calls `finish`."""

    def __init__(self, document: Json, place: str):
        """Wraps the document.

        Args:
          document: The file's content.
          place: Its name, for messages.
        """
        self.place = place
        self._document = document
        self._read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """A field's value; the default is what transformers assumes without it."""
        self._read.add(name)
        value = self._document.get(name, default)
        return default if value is None else value

    def has(self, name: str) -> bool:
        """Whether the file names a field, be it with no value."""
        return name in self._document

    def nullable(self, name: str, default: Any = None) -> Any:
        """The value of a field in which null is not the same as nothing."""
        self._read.add(name)
        return self._document.get(name, default)

    def need(self, name: str) -> Any:
        """The value of a field that has no sensible default.

        Raises:
          CorruptDataError: If it is not there.
        """
        if self._document.get(name) is None:
            raise CorruptDataError(f"{self.place} has no {name}")
        return self.get(name)

    def only(self, name: str, *implemented: Any) -> None:
        """Refuses any value but those that are implemented; absent is fine."""
        self._read.add(name)
        if (value := self._document.get(name)) is not None and value not in implemented:
            raise RefusedError(
                f"{self.place}: {name}={value!r} is not implemented, only"
                f" {', '.join(map(repr, implemented)) or 'none'}"
            )

    def ignore(self, *names: str) -> None:
        """Names fields that do not change the function computed."""
        self._read.update(names)

    def layer_types(self, expected: Sequence[str]) -> None:
        """Refuses a pattern of windows over the layers that is not the expected one."""
        self.only("layer_types", list(expected))

    def heads(self, heads: str, kv_heads: str | None = None) -> Json:
        """The numbers of key/value heads, and of query heads on each.

        Args:
          heads: The field with the number of query heads.
          kv_heads: The one with that of key/value heads; as many, if absent.
        """
        count = self.need(heads)
        kv_count = count if kv_heads is None else self.get(kv_heads, count)
        if kv_count < 1 or count % kv_count:
            raise CorruptDataError(
                f"{self.place}: {heads}={count} is not a multiple of"
                f" {kv_heads}={kv_count}"
            )
        return {"kv_heads": kv_count, "q_groups": count // kv_count}

    def rope(self, *, theta: float = 10_000.0, fraction: float = 1.0) -> Json:
        """The rotary angles, as transformers 5 or an earlier one wrote them.

        Args:
          theta: What transformers assumes if the file does not say.
          fraction: The same of the rotated share of a head.
        """
        old, new = self.get("rope_scaling", {}), self.get("rope_parameters", {})
        parameters = {**old, **new}
        kind = parameters.pop("rope_type", None) or parameters.pop("type", "default")
        parameters.pop("type", None)
        theta = parameters.pop("rope_theta", self.get("rope_theta", theta))
        fraction = parameters.pop("partial_rotary_factor", fraction)
        if kind not in _ROPE_KEYS or parameters.keys() - _ROPE_KEYS[kind]:
            extra = parameters.keys() - _ROPE_KEYS.get(kind, set())
            raise RefusedError(
                f"{self.place}: rope scaling {kind!r}"
                f"{''.join(f', {name}' for name in sorted(extra))} is not implemented,"
                f" only {', '.join(_ROPE_KEYS)}"
            )
        if missing := _ROPE_KEYS[kind] - parameters.keys():
            raise CorruptDataError(
                f"{self.place}: rope scaling {kind!r} has no {min(missing)}"
            )
        scaling = None
        if kind != "default":
            places = parameters.pop("original_max_position_embeddings", None)
            if places is not None:
                parameters["original_max_positions"] = places
            scaling = RopeScaling(kind=kind, **parameters)
        return {
            "rope_theta": float(theta),
            "rope_fraction": float(fraction),
            "rope_scaling": scaling,
        }

    def tokens(self, *, bos: int | None, eos: int | None) -> Json:
        """The tokens that start a text and end a completion.

        Args:
          bos: What transformers assumes if the file does not say.
          eos: The same of the end.

        Raises:
          RefusedError: If there is not one token that ends.
        """
        self._read.add("eos_token_id")
        value = self._document.get("eos_token_id", eos)
        ids = value if isinstance(value, list) else [value]
        if len(ids) != 1 or not isinstance(ids[0], int):
            raise RefusedError(
                f"{self.place}: eos_token_id={value!r} must be one token: set it, in a"
                " copy of the file, to the one that ends an assistant's turn"
            )
        start = self._document.get("bos_token_id", bos)
        return {"bos_token_id": start, "eos_token_id": ids[0]}

    def finish(self) -> None:
        """Refuses what no one has read.

        Raises:
          RefusedError: At the first field that may change what is computed.
        """
        for name, implemented in _FIXED.items():
            self.only(name, *implemented)
        for name, value in self._document.items():
            if name in self._read | _HARMLESS or value in (None, False):
                continue
            raise RefusedError(
                f"{self.place}: {name}={value!r} is not known here: if it does not"
                " change what the model computes, remove it from a copy of the file"
            )


def rope_document(config: TransformerConfig, names: Collection[str] = ()) -> Json:
    """The rotary fields of a config.json, for transformers 5 and those before.

    Args:
      config: The model's.
      names: `fraction`, if the family writes the rotated share.
    """
    parameters: Json = {"rope_theta": config.rope_theta, "rope_type": "default"}
    if "fraction" in names:
        parameters["partial_rotary_factor"] = config.rope_fraction
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_parameters": parameters, "rope_theta": config.rope_theta}
    old: Json = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        old |= {
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_positions,
        }
    return {
        "rope_parameters": parameters | old,
        "rope_scaling": old,
        "rope_theta": config.rope_theta,
    }
