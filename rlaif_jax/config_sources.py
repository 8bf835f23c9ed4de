"""Which options of a source go with which formats."""

import re
from typing import Any

# formats of rows with fields, which a file, Hugging Face or TFDS may hold
ROW_FORMATS = frozenset({"hh", "shp", "stack_exchange", "ultrafeedback", "ultrachat"})
_COLUMN_FORMATS = frozenset({"parquet", "huggingface", "tfds"})
_PAPER_FORMATS = frozenset({"sharegpt", "teacher", "alpaca_eval"})

_FORMATS = {  # option to the formats that it goes with
    "reader": ROW_FORMATS,
    "column": _COLUMN_FORMATS,
    "split": ROW_FORMATS | {"huggingface", "tfds"},
    "data_dir": ROW_FORMATS | {"huggingface"},
    "revision": ROW_FORMATS | {"huggingface"},
    "rules": _PAPER_FORMATS,
    "data_fraction": _PAPER_FORMATS,
    "num_turns": frozenset({"sharegpt"}),
    "min_score_ratio": frozenset({"shp"}),
    "generator": frozenset({"sharegpt", "teacher", "ultrachat", "alpaca_eval"}),
}


def require_effect(source: Any) -> None:
    """Refuses an option of a source that would do nothing.

    Args:
      source: A `SourceConfig`.

    Raises:
      ValueError: Naming the option, and what it goes with.
    """
    for name, formats in _FORMATS.items():
        is_chosen = getattr(source, name) != type(source).model_fields[name].default
        if is_chosen and source.format not in formats:
            raise ValueError(
                f"{name} goes with format {', '.join(sorted(formats))}, not with"
                f" {source.format}: leave it out"
            )
    if source.num_turns > 1 and source.rules != "paper":
        raise ValueError(
            f"num_turns={source.num_turns} goes with rules=paper: clean rules keep one"
        )
    is_chosen = source.split != type(source).model_fields["split"].default
    if is_chosen and source.format == "stack_exchange" and source.reader == "file":
        raise ValueError(
            f"split={source.split} has no effect on files of stack_exchange, of which"
            " 1 % of the rows are test: leave it out"
        )
    is_hub = "huggingface" in (source.format, source.reader)
    for name in ("data_dir", "revision"):
        if getattr(source, name) is not None and not is_hub:
            raise ValueError(f"{name} goes with reader=huggingface: leave it out")
    if source.revision and not re.fullmatch(r"[0-9a-f]{40}", source.revision):
        raise ValueError(
            "revision must be a commit's 40 hex digits, as a branch may move:"
            f" {source.revision!r}"
        )
