"""AlpacaEval annotation files, as a source of instructions."""

from collections.abc import Iterator
from pathlib import Path

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.conversations import Exchange
from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json_list
from rlaif_jax.records import Message


def read_alpaca_eval(source: SourceConfig) -> Iterator[Exchange]:
    """The instruction of each annotation.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If an annotation has no `instruction`.
    """
    path = Path(source.path)
    for index, item in enumerate(read_json_list(path, "AlpacaEval annotation file")):
        text = item.get("instruction")
        if not isinstance(text, str):
            raise CorruptDataError(f"{path}: item {index} has no text 'instruction'")
        yield Exchange((Message(role="user", content=text),))
