"""OpenAI's Responses format: a reply to bytes."""

import json

from rlaif_jax.lab.probabilities import tokens_json
from rlaif_jax.lab.wire import CREATED, OPENAI, Dialect, Reply


def _encode(reply: Reply) -> bytes:
    part = {"type": "output_text", "text": reply.text, "annotations": []}
    part["logprobs"] = tokens_json(reply.tokens, reply.text)
    status = "incomplete" if reply.is_cut else "completed"
    message = {
        "id": "msg_lab",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }
    document = {
        "id": "resp_lab",
        "object": "response",
        "created_at": CREATED,
        "model": reply.model,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if reply.is_cut else None,
        "output": [message],
        "usage": {
            "input_tokens": reply.prompt_tokens,
            "output_tokens": reply.completion_tokens,
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        },
    }
    return json.dumps(document).encode()


RESPONSES = Dialect(
    path="/v1/responses",
    turns_key="input",
    request_id_header=OPENAI.request_id_header,
    max_tokens_keys=("max_output_tokens",),
    needs_max_tokens=False,
    encode_reply=_encode,
    encode_error=OPENAI.encode_error,
)
