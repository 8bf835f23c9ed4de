"""Hugging Face's `config.json`, read and written without guessing."""

from pathlib import Path

from rlaif_jax.checkpoint.families import FAMILIES, Family
from rlaif_jax.checkpoint.hf_fields import Fields
from rlaif_jax.errors import CorruptDataError, RefusedError
from rlaif_jax.files import read_json
from rlaif_jax.models import TransformerConfig
from rlaif_jax.typing import Json


def read_hf_config(folder: Path) -> TransformerConfig:
    """The architecture that a folder's `config.json` describes.

    Raises:
      UsageError: If there is no such file.
      RefusedError: If it asks for anything that is not implemented, by name.
      CorruptDataError: If a size is missing or impossible.
    """
    path = folder / "config.json"
    document = read_json(path, "Hugging Face config")
    family = _family(document, str(path))
    fields = Fields(document, str(path))
    try:
        values = family.read(fields)
        fields.finish()
        return TransformerConfig(family=family.name, **values)
    except (TypeError, ValueError) as error:
        raise CorruptDataError(f"{path}: {error}") from error


def hf_config(config: TransformerConfig, dtype: str) -> Json:
    """The `config.json` from which transformers builds the same model."""
    family = FAMILIES[config.family]
    common = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "attention_dropout": 0.0,
        "bos_token_id": config.bos_token_id,
        "dtype": dtype,
        "torch_dtype": dtype,  # for transformers before 5
        "eos_token_id": config.eos_token_id,
        "initializer_range": 0.02,
        "pad_token_id": None,
        "tie_word_embeddings": config.tie_embeddings,
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }
    return common | family.write(config)


def _family(document: Json, place: str) -> Family:
    """The one implemented architecture that the document names."""
    names = document.get("architectures") or [document.get("model_type")]
    for family in FAMILIES.values():
        # some files name no class
        if names in ([family.architecture], [family.model_type]):
            return family
    known = ", ".join(family.architecture for family in FAMILIES.values())
    raise RefusedError(
        f"{place}: architecture {', '.join(map(str, names))} is not implemented: known"
        f" are {known}"
    )
