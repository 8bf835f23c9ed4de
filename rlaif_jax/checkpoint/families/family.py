"""What a model family is on disk, in Hugging Face's form."""

from collections.abc import Callable
from typing import NamedTuple

from rlaif_jax.checkpoint.entries import Entry
from rlaif_jax.checkpoint.hf_fields import Fields
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.typing import Json


class Family(NamedTuple):
    """How one architecture's `config.json` and tensors are read and written."""

    name: str  # `TransformerConfig.family`
    architecture: str  # transformers' class
    model_type: str
    read: Callable[[Fields], Json]  # the fields of a TransformerConfig
    write: Callable[[TransformerConfig], Json]  # what the family adds to config.json
    entries: Callable[[TransformerConfig], tuple[Entry, ...]]
    optional_prefix: str = ""  # of tensors' names, absent where only the body was saved
