"""The scorer's wire format: completions in, what they are truly worth out."""

import json

import pydantic

from rlaif_jax.errors import UsageError
from rlaif_jax.lab.scoring import rate
from rlaif_jax.lab.wire import WireError
from rlaif_jax.records import Message


class Item(pydantic.BaseModel):
    """One completion to be scored, with its prompt."""

    messages: list[Message] = pydantic.Field(min_length=1)
    text: str
    finish_reason: str = "stop"


_ITEMS = pydantic.TypeAdapter(list[Item])


def score_body(body: bytes, *, style_weight: float) -> bytes:
    """A JSON list with one mapping of figures for each item of a JSON list.

    Raises:
      WireError: If the body is no such list, or a prompt is no task of the lab.
    """
    try:
        items = _ITEMS.validate_json(body)
        rows = [
            rate(
                item.messages[-1].content,
                item.text,
                item.finish_reason,
                style_weight=style_weight,
            )
            for item in items
        ]
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("items", *first["loc"])))
        raise WireError(400, "invalid_request", f"{where}: {first['msg']}") from error
    except UsageError as error:
        raise WireError(400, "invalid_request", str(error)) from error
    return json.dumps([row._asdict() for row in rows]).encode()
