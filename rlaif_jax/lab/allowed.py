"""Requests that allow a few replies only, as vLLM and both vendors write them."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from rlaif_jax.typing import Json


class Allowed(NamedTuple):
    """The only replies that a request takes.

    Attributes:
      choices: The texts.
      key: Of the JSON object that holds one of them; None if it stands alone.
    """

    choices: tuple[str, ...]
    key: str | None

    def reply(self, text: str) -> str:
        """The text if it is allowed, or what a model says that may say nothing else."""
        choice = text if text in self.choices else self.choices[0]
        return choice if self.key is None else json.dumps({self.key: choice})


def read_allowed(document: Json) -> Allowed | None:
    """The replies that a request allows; None if it allows any.

    Raises:
      ValueError: If it wants what the lab does not do.
    """
    if (options := document.get("structured_outputs")) is not None:
        return Allowed(_texts(_mapping(options).get("choice")), None)
    schema = _schema(document)
    return None if schema is None else Allowed(*_only_choice(schema))


def _schema(document: Json) -> Json | None:
    """The JSON schema of a request, wherever its format puts it."""
    form = document.get("response_format")  # chat
    for outer in ("text", "output_config"):  # Responses, Anthropic
        if form is None and outer in document:
            form = _mapping(document[outer]).get("format")
    if form is None or _mapping(form).get("type") == "text":
        return None
    held = _mapping(form.get("json_schema", form))
    return dict(_mapping(held.get("schema")))


def _only_choice(schema: Json) -> tuple[tuple[str, ...], str]:
    """The choices and the key of an object with one enumerated text."""
    properties = _mapping(schema.get("properties"))
    if len(properties) != 1:
        raise ValueError(f"the lab does schemas of one property, not of {properties}")
    ((key, value),) = properties.items()
    return _texts(_mapping(value).get("enum")), key


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(x, str) for x in value):
        return tuple(value)
    raise ValueError(f"the lab does a choice of texts, not {value!r}")


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"the lab does no structured output of {value!r}")
