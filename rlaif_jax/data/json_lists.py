"""Files that hold one JSON list of objects: ShareGPT's and AlpacaEval's."""

import json
from pathlib import Path

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_text, require_file
from rlaif_jax.typing import Json


def read_json_list(path: Path, what: str) -> list[Json]:
    """Reads a JSON list of objects, unpacked if the name ends in `.gz`.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If it is not JSON, not a list, or an item is not an object.
    """
    try:
        document = json.loads(read_text(require_file(path, what)))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorruptDataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(document, list):
        raise CorruptDataError(
            f"{path} holds {type(document).__name__}, a list was expected in a {what}"
        )
    for index, item in enumerate(document):
        if not isinstance(item, dict):
            raise CorruptDataError(
                f"{path}: item {index} is {type(item).__name__}, not an object"
            )
    return document
