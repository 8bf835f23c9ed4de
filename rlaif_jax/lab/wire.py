"""The OpenAI and Anthropic chat formats: bytes to a request, a reply to bytes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from rlaif_jax.lab.allowed import Allowed, read_allowed
from rlaif_jax.lab.probabilities import SpelledToken, tokens_json
from rlaif_jax.typing import Json

CREATED = 1_700_000_000  # seconds; fixed, so that equal requests get equal bytes
_CHARACTERS_PER_TOKEN = 4


class WireError(Exception):
    """A request that a vendor would refuse."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ChatRequest(NamedTuple):
    """What the lab uses of a request."""

    model: str
    text: str  # the last user turn
    seed: int
    max_tokens: int | None
    prompt_tokens: int
    allowed: Allowed | None = None  # the only replies that it takes
    wants_tokens: bool = False  # and their log-probabilities


class Reply(NamedTuple):
    """What goes back."""

    model: str
    text: str
    is_cut: bool  # at max_tokens
    prompt_tokens: int
    completion_tokens: int
    tokens: tuple[SpelledToken, ...] = ()  # if they were asked for, of a verdict


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One vendor's way to say the same."""

    path: str
    turns_key: str = "messages"
    request_id_header: str
    max_tokens_keys: tuple[str, ...]
    needs_max_tokens: bool
    encode_reply: Callable[[Reply], bytes]
    encode_error: Callable[[WireError], bytes]


def num_tokens(text: str) -> int:
    """The tokens a text is billed for."""
    return text_tokens(len(text))


def text_tokens(characters: int) -> int:
    """The tokens of so many characters: one per four, rounded up."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def read_request(body: bytes, dialect: Dialect) -> ChatRequest:
    """The request in a body.

    Raises:
      WireError: If it is malformed, or asks for what the lab does not do.
    """
    document, model = read_document(body)
    text, characters = read_turns(document, dialect.turns_key)
    try:
        allowed = read_allowed(document)
    except ValueError as error:
        raise bad(str(error)) from error
    return ChatRequest(
        model=model,
        text=text,
        seed=_integer(document, "seed") or 0,
        max_tokens=_max_tokens(document, dialect),
        prompt_tokens=text_tokens(characters),
        allowed=allowed,
        wants_tokens=bool(document.get("logprobs") or document.get("top_logprobs")),
    )


def read_document(body: bytes) -> tuple[Json, str]:
    """The JSON object in a body, and the model that it names.

    Raises:
      WireError: If it is none, or wants more than one reply at once.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise bad(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise bad("the body is not a JSON object")
    model = document.get("model")
    if not isinstance(model, str):
        raise bad("model: a string is required")
    if document.get("stream") or document.get("n") not in (None, 1):
        raise bad("the lab answers with one completion and does not stream")
    return document, model


def make_reply(
    request: ChatRequest, text: str, tokens: tuple[SpelledToken, ...] = ()
) -> Reply:
    """The reply to a request, cut where its `max_tokens` end."""
    is_cut = request.max_tokens is not None and num_tokens(text) > request.max_tokens
    if is_cut and request.max_tokens is not None:
        text = text[: request.max_tokens * _CHARACTERS_PER_TOKEN]
    num_billed = num_tokens(text)
    return Reply(request.model, text, is_cut, request.prompt_tokens, num_billed, tokens)


def request_id(body: bytes) -> str:
    """An id that is a function of the request."""
    return "req_lab_" + blake2b(body, digest_size=8).hexdigest()


def encode_models(names: Sequence[str]) -> bytes:
    """The list of models, with the fields of both vendors."""
    models = [
        {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": "rlaif_jax",
            "type": "model",
            "display_name": name,
            "created_at": "2023-11-14T22:13:20Z",
        }
        for name in names
    ]
    page = {"has_more": False, "first_id": names[0], "last_id": names[-1]}
    return json.dumps({"object": "list", "data": models, **page}).encode()


def _openai_reply(reply: Reply) -> bytes:
    """Put together by hand: only strings need an encoder."""
    total = reply.prompt_tokens + reply.completion_tokens
    logprobs = "null"
    if reply.tokens:
        logprobs = json.dumps({"content": tokens_json(reply.tokens, reply.text)})
    return (
        f'{{"id":"chatcmpl-lab","object":"chat.completion","created":{CREATED},'
        f'"model":{json.dumps(reply.model)},"choices":[{{"index":0,"message":'
        f'{{"role":"assistant","content":{json.dumps(reply.text)},"refusal":null}},'
        f'"logprobs":{logprobs},'
        f'"finish_reason":"{"length" if reply.is_cut else "stop"}"}}],'
        f'"usage":{{"prompt_tokens":{reply.prompt_tokens},"completion_tokens":'
        f'{reply.completion_tokens},"total_tokens":{total}}}}}'
    ).encode()


def _anthropic_reply(reply: Reply) -> bytes:
    reason = "max_tokens" if reply.is_cut else "end_turn"
    return (
        '{"id":"msg_lab","type":"message","role":"assistant",'
        f'"model":{json.dumps(reply.model)},'
        f'"content":[{{"type":"text","text":{json.dumps(reply.text)}}}],'
        f'"stop_reason":"{reason}","stop_sequence":null,'
        f'"usage":{{"input_tokens":{reply.prompt_tokens},'
        f'"output_tokens":{reply.completion_tokens}}}}}'
    ).encode()


_OPENAI_TYPES = {429: "rate_limit_error", 500: "server_error"}
_ANTHROPIC_TYPES = {404: "not_found_error", 429: "rate_limit_error", 500: "api_error"}


def _openai_error(error: WireError) -> bytes:
    kind = _OPENAI_TYPES.get(error.status, "invalid_request_error")
    inner = {"message": str(error), "type": kind, "param": None, "code": error.code}
    return json.dumps({"error": inner}).encode()


def _anthropic_error(error: WireError) -> bytes:
    kind = _ANTHROPIC_TYPES.get(error.status, "invalid_request_error")
    inner = {"type": kind, "message": str(error)}
    return json.dumps({"type": "error", "error": inner}).encode()


OPENAI = Dialect(
    path="/v1/chat/completions",
    request_id_header="x-request-id",
    max_tokens_keys=("max_completion_tokens", "max_tokens"),
    needs_max_tokens=False,
    encode_reply=_openai_reply,
    encode_error=_openai_error,
)
ANTHROPIC = Dialect(
    path="/v1/messages",
    request_id_header="request-id",
    max_tokens_keys=("max_tokens",),
    needs_max_tokens=True,
    encode_reply=_anthropic_reply,
    encode_error=_anthropic_error,
)


def read_turns(document: Json, key: str) -> tuple[str, int]:
    """The last user turn, and the characters of all turns and the system prompt.

    Raises:
      WireError: If there is none under that key.
    """
    messages = document.get(key)
    if key == "input" and isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list) or not messages:
        raise bad(f"{key}: a list of at least one message is required")
    text = None
    characters = len(_content(document.get("system", "")))
    for message in messages:
        if not isinstance(message, dict):
            raise bad(f"{key}: each one is an object with role and content")
        content = _content(message.get("content"))
        characters += len(content)
        if message.get("role") == "user":
            text = content
    if text is None:
        raise bad(f"{key}: none has the role user")
    return text, characters


def _content(content: Any) -> str:
    """A turn's text, given as a string or as text parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        if len(parts) == len(content) and all(isinstance(p, str) for p in parts):
            return "".join(map(str, parts))
    raise bad("messages: content is a string or a list of text parts")


def _max_tokens(document: Json, dialect: Dialect) -> int | None:
    for key in dialect.max_tokens_keys:
        value = _integer(document, key)
        if value is not None:
            if value < 1:
                raise bad(f"{key}: {value} is below 1")
            return value
    if dialect.needs_max_tokens:
        raise bad(f"{dialect.max_tokens_keys[0]}: an integer is required")
    return None


def _integer(document: Json, key: str) -> int | None:
    value = document.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise bad(f"{key}: {value!r} is not an integer")
    return value


def bad(message: str) -> WireError:
    """The error of a request that is not as the format wants it."""
    return WireError(400, "invalid_request", message)
