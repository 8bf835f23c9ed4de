"""Configs read from YAML and `key=value`, and explained to a person.

Imports no JAX, so that `--help` answers at once.
"""

import difflib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import pydantic
from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rlaif_jax.config import Config
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_text, require_file
from rlaif_jax.typing import Json

ConfigT = TypeVar("ConfigT", bound=Config)


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
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = error.problem or "it does not parse"
        raise UsageError(f"{path}{line} is not valid YAML: {reason}") from error
    except YAMLError as error:
        raise UsageError(f"{path} is not valid YAML: {error}") from error
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
    where = ".".join(_place(kind, first["loc"]).keys)
    match first["type"]:
        case "extra_forbidden":
            return _explain_unknown(_place(kind, first["loc"][:-1]), first["loc"][-1])
        case "missing":
            return (
                f"config key {where!r} is missing: add it to the YAML or as {where}=..."
            )
        case "union_tag_not_found" | "union_tag_invalid":
            tag = str(first.get("ctx", {})["discriminator"]).strip("'")
            models = _place(kind, first["loc"]).models
            names = ", ".join(name for model in models for name in _choices(model, tag))
            given = first.get("ctx", {}).get("tag")
            shown = "it is missing" if given is None else f"got {given!r}"
            return f"config {where}.{tag} must be one of {names} ({shown})"
    value = first.get("input")
    shown = "" if isinstance(value, dict) else f" (got {value!r})"
    message = first["msg"].removeprefix("Value error, ")
    return f"config {where}: {message}{shown}" if where else f"config: {message}"


class _Place(NamedTuple):
    """Where in a config something is wrong, and what config types may stand there."""

    keys: list[str]
    models: list[type[BaseModel]]


def _explain_unknown(parent: _Place, key: int | str) -> str:
    """What may have been meant by a key that is not there."""
    known = sorted({name for model in parent.models for name in model.model_fields})
    deeper = sorted(
        {row.key for model in parent.models for row in config_keys(model)} - {*known}
    )
    near = difflib.get_close_matches(str(key), known, n=1)
    near = near or [path for path in deeper if path.split(".")[-1] == key]
    told = [repr(".".join([*parent.keys, path])) for path in near]
    listed = f"; the keys there are {', '.join(known)}" if known else ""
    hint = f"; did you mean {' or '.join(told)}?" if told else listed
    return f"unknown config key {'.'.join([*parent.keys, str(key)])!r}{hint}"


def _place(kind: type[BaseModel], location: tuple[int | str, ...]) -> _Place:
    """Where a location leads: it holds the tags of unions too, which are no keys."""
    keys: list[str] = []
    models = [kind]
    for part in location:
        fields = [m.model_fields[str(part)] for m in models if part in m.model_fields]
        tagged = [model for model in models if _has_choice(model, part)]
        if tagged and not fields:
            models = tagged
            continue
        keys.append(str(part))
        models = [m for f in fields for m in _models_in(f.annotation)] or models
    return _Place(keys, models)


def _has_choice(model: type[BaseModel], choice: int | str) -> bool:
    return any(choice in _choices(model, name) for name in model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every config type inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [model for part in inner for model in _models_in(part)]


def _choices(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The literals that a field takes, if it takes nothing else."""
    annotation = model.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


_SEVERAL: dict[Any, str] = {dict: ".NAME", tuple: "[]"}  # what a key's parts are under


class ConfigKey(NamedTuple):
    """One line of `--help`: a dotted key, and its type, default and meaning."""

    key: str
    text: str


def config_keys(kind: type[BaseModel], prefix: str = "") -> list[ConfigKey]:
    """Every key that a config takes, with the comment that stands beside it."""
    comments = _comments(kind)
    rows: list[ConfigKey] = []
    for name, field in kind.model_fields.items():
        default = field.get_default(call_default_factory=True)
        note = f"  # {comments[name]}" if name in comments else ""
        if models := _models_in(field.annotation):
            several = _SEVERAL.get(get_origin(field.annotation), "")
            place = f"{prefix}{name}{several}."
            if default is None:
                rows.append(ConfigKey(prefix + name, f"mapping | null = null{note}"))
            rows += _keys_of_any(models, place, default)
            continue
        shown = "required" if field.is_required() else f"= {_plain(default)}"
        text = f"{_type_name(field.annotation)} {shown}{note}"
        rows.append(ConfigKey(prefix + name, text))
    return rows


def _keys_of_any(
    models: list[type[BaseModel]], prefix: str, default: Any
) -> list[ConfigKey]:
    """The keys of a config, or those of several between which a tag chooses.

    A key that alternatives take in different ways has a line for each way.
    """
    if len(models) == 1:
        return config_keys(models[0], prefix)
    tag = next(name for name in models[0].model_fields if _tells_apart(name, models))
    names = [name for model in models for name in _choices(model, tag)]
    chosen = f"= {getattr(default, tag)}" if hasattr(default, tag) else "required"
    ways: dict[tuple[str, str], str] = {}  # to its comment
    takers: dict[tuple[str, str], list[str]] = {}
    for model in models:
        for key, text in config_keys(model, prefix):
            way = (key, text.partition("  # ")[0])
            ways.setdefault(way, text.removeprefix(way[1]))
            takers.setdefault(way, []).extend(_choices(model, tag))
    rows = [ConfigKey(prefix + tag, f"{' | '.join(names)} {chosen}")]
    order = [key for key, _ in ways]
    for (key, text), note in sorted(
        ways.items(), key=lambda way: order.index(way[0][0])
    ):
        only = _only(takers[key, text], names)
        rows += [ConfigKey(key, f"{only}{text}{note}")] * (key != prefix + tag)
    return rows


def _tells_apart(name: str, models: list[type[BaseModel]]) -> bool:
    """Whether every alternative has literals of its own for a field."""
    if any(name not in model.model_fields for model in models):
        return False
    choices = [_choices(model, name) for model in models]
    values = [value for own in choices for value in own]
    return all(choices) and len(set(values)) == len(values)


def _only(takers: list[str], names: list[str]) -> str:
    """Which alternatives take a key, unless all do."""
    rest = [name for name in names if name not in takers]
    if not rest:
        return ""
    if 2 * len(rest) < len(takers):
        return f"[all but {' | '.join(rest)}] "
    return f"[{' | '.join(takers)}] "


def _comments(kind: type[BaseModel]) -> dict[str, str]:
    """Field name to the comment at the end of its line."""
    found: dict[str, str] = {}
    for model in reversed(kind.__mro__):
        if issubclass(model, BaseModel) and model is not BaseModel:
            source = inspect.getsource(model)
            lines = re.findall(r"^    (\w+):[^#\n]*# (.+)$", source, re.MULTILINE)
            found |= dict(lines)
    return found


def _type_name(annotation: Any) -> str:
    """The type as a user would write it."""
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is Annotated:
        return _type_name(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(_type_name, get_args(annotation)))
    if get_origin(annotation) is dict:
        return "mapping of {} to {}".format(*map(_type_name, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"list of {_type_name(get_args(annotation)[0])}"
    names = {str: "text", type(None): "null", Path: "path", bool: "true | false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _plain(value: Any) -> str:
    """A default as YAML would have it."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return value
        case tuple():
            return str(list(value))
        case _:
            return str(value)
