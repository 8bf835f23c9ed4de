"""Configs read from YAML and `key=value`, and explained to a person.

Imports no JAX, so that `--help` answers at once.
"""

import difflib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pydantic
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rlaif_jax.config import Config
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_text, require_file
from rlaif_jax.typing import Json

ConfigT = TypeVar("ConfigT", bound=Config)

_UNION_TAGS = {"adamw", "rmsprop", "openai", "anthropic", "recorded"}  # not keys


def load_config(kind: type[ConfigT], arguments: Sequence[str]) -> ConfigT:
    """Builds a config from an optional YAML file followed by `key.path=value`s.

    Args:
      kind: The config's type.
      arguments: What stood on the command line, in order.

    Returns:
      The validated config.

    Raises:
      UsageError: On a missing file, YAML that does not parse, an unknown key or a
        bad value; the message names it.
    """
    document: Json = {}
    for position, argument in enumerate(arguments):
        if "=" in argument:
            _assign(document, argument)
        elif position == 0:
            document = read_yaml(Path(argument))
        else:
            raise UsageError(f"{argument!r} is not key=value, and the file comes first")
    return validate(kind, document)


def read_yaml(path: Path) -> Json:
    """Reads a YAML 1.2 file that holds a mapping.

    Raises:
      UsageError: If it is missing, does not parse, repeats a key or is no mapping.
    """
    try:
        document = YAML(typ="safe", pure=True).load(
            read_text(require_file(path, "config"))
        )
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not valid YAML: {reason}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds {type(document).__name__}, not a mapping")
    return document


def validate(kind: type[ConfigT], document: Json) -> ConfigT:
    """The document as a config.

    Raises:
      UsageError: With the first offending key, its value and what was expected.
    """
    try:
        return kind.model_validate(document)
    except pydantic.ValidationError as error:
        raise UsageError(_explain(kind, error)) from error


def _assign(document: Json, argument: str) -> None:
    """Sets one `key.path=value` in a nested mapping."""
    path, _, text = argument.partition("=")
    *parents, key = path.split(".")
    for parent in parents:
        child = document.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UsageError(f"{argument!r}: {parent} is {child!r}, not a mapping")
        document = child
    try:
        document[key] = YAML(typ="safe", pure=True).load(text) if text else None
    except YAMLError as error:
        raise UsageError(f"{argument!r} has a value that is not YAML") from error


def _explain(kind: type[BaseModel], error: pydantic.ValidationError) -> str:
    """One line for the first thing that is wrong."""
    # an unknown key explains a missing one, so it is told first
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    where = ".".join(
        str(part)
        for i, part in enumerate(first["loc"])
        if not i or part not in _UNION_TAGS
    )
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        near = difflib.get_close_matches(name, _known_keys(kind, first["loc"]), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown config key {where!r}{hint}"
    if first["type"] == "missing":
        return f"config key {where!r} is missing: add it to the YAML or as {where}=..."
    value = first.get("input")
    shown = "" if isinstance(value, dict) else f" (got {value!r})"
    message = first["msg"].removeprefix("Value error, ")
    return f"config {where}: {message}{shown}" if where else f"config: {message}"


def _known_keys(kind: Any, location: tuple[int | str, ...]) -> list[str]:
    """Field names at the place where an unknown key was found."""
    kinds = [kind]
    for part in location[:-1]:
        children = [
            candidate
            for known in kinds
            if str(part) in known.model_fields
            for candidate in _models_in(known.model_fields[str(part)].annotation)
        ]
        kinds = children or kinds  # a union's tag appears in the location too
    return sorted({name for known in kinds for name in known.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every config type inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [model for part in inner for model in _models_in(part)]


class ConfigKey(NamedTuple):
    """One line of `--help`: a dotted key, and its type, default and meaning."""

    key: str
    text: str


def config_keys(kind: type[BaseModel], prefix: str = "") -> list[ConfigKey]:
    """Every key that a config takes, with the comment that stands beside it."""
    comments = _comments(kind)
    rows: list[ConfigKey] = []
    for name, field in kind.model_fields.items():
        models = _models_in(field.annotation)
        mapping = str(field.annotation).startswith("dict")
        if models and not mapping and len(models) <= 2:
            for model in models:
                rows += config_keys(model, f"{prefix}{name}.")
            continue
        default = "required" if field.is_required() else f"= {field.default!r}"
        note = f"  # {comments[name]}" if name in comments else ""
        rows.append(ConfigKey(prefix + name, f"{_type_name(field)} {default}{note}"))
    seen: set[str] = set()
    return [row for row in rows if not (row.key in seen or seen.add(row.key))]


def _comments(kind: type[BaseModel]) -> dict[str, str]:
    """Field name to the comment at the end of its line."""
    source = inspect.getsource(kind)
    found = re.findall(r"^    (\w+):[^#\n]*# (.+)$", source, flags=re.MULTILINE)
    return dict(found)


def _type_name(field: FieldInfo) -> str:
    """The type as a user would write it."""
    name = getattr(field.annotation, "__name__", "")
    text = name if name in {"int", "float", "str", "bool", "Path"} else ""
    plain = str(field.annotation).replace("typing.", "").replace("pathlib._local.", "")
    return text or plain.replace("pathlib.", "").replace("NoneType", "None")
