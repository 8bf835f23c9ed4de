"""Chat models behind Anthropic's wire format."""

from collections.abc import Mapping, Sequence

import anthropic
import httpx2
from anthropic._models import FinalRequestOptions

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.chat import Answer
from rlaif_jax.labeling.constraints import Choices, constraint_of, verdict_schema
from rlaif_jax.labeling.failures import billed_tokens
from rlaif_jax.labeling.headers import quotas
from rlaif_jax.labeling.sdk_model import TRANSPORT_ERRORS, SdkModel, http_options
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


class AnthropicChat(SdkModel):
    """`POST /v1/messages`."""

    api = "anthropic"
    path = "/v1/messages"
    errors = (anthropic.AnthropicError, *TRANSPORT_ERRORS)
    status_error = anthropic.APIStatusError
    call_options = FinalRequestOptions

    def __init__(
        self, config: EndpointConfig, *, api_key: str, choices: Choices | None = None
    ):
        http = anthropic.DefaultAioHttpClient(**http_options(config))
        client = _client(config, api_key, http)
        super().__init__(config, api_key=api_key, client=client, http=http)
        self._output: Json = {}
        if config.reasoning_effort is not None:
            self._output["effort"] = config.reasoning_effort
        if constraint := constraint_of(config, choices):
            schema = verdict_schema(constraint[1])
            self._output["format"] = {"type": "json_schema", "schema": schema}

    def request(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body that asks; see `ChatModel.ask`. The API has no seed."""
        del seed
        body: Json = {
            "model": self.model,
            "max_tokens": max_tokens,
            "messages": [
                {"role": turn.role, "content": turn.content}
                for turn in messages
                if turn.role != "system"
            ],
        }
        if system := "\n\n".join(m.content for m in messages if m.role == "system"):
            body["system"] = system
        if temperature is not None:
            body["temperature"] = temperature
        if self._output:
            body["output_config"] = self._output
        return body

    def _answer(self, body: Json, headers: Mapping[str, str]) -> Answer:
        reason = body["stop_reason"]
        blocks = body["content"]
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        if not isinstance(reason, str) or (not blocks and reason == "end_turn"):
            raise TypeError(f"stop_reason {reason!r} with {len(blocks)} blocks")
        told = body.get("stop_details") or {}
        return Answer(
            text="".join(texts),
            finish_reason=_FINISH_REASONS.get(reason, reason),
            returned_model=str(body.get("model") or ""),
            usage=_usage(body.get("usage")),
            request_id=headers.get("request-id") or str(body.get("id") or ""),
            quotas=quotas(headers),
            refusal=str(told.get("category") or told.get("explanation") or ""),
            service_tier=str((body.get("usage") or {}).get("service_tier") or ""),
        )


def _client(
    config: EndpointConfig, api_key: str, http: httpx2.AsyncClient
) -> anthropic.AsyncAnthropic:
    """The SDK's client, of which nothing is left to the environment."""
    return anthropic.AsyncAnthropic(
        api_key=api_key,
        base_url=config.base_url,
        max_retries=0,
        timeout=config.timeout_s,
        open_telemetry=False,
        http_client=http,
    )


def _usage(usage: object) -> Usage | None:
    """The tokens billed; cached ones are counted beside the input's in this format."""
    if not isinstance(usage, dict):
        return None
    cached = (usage.get("cache_creation_input_tokens") or 0) + (
        usage.get("cache_read_input_tokens") or 0
    )
    return billed_tokens(
        (usage.get("input_tokens") or 0) + cached, usage.get("output_tokens")
    )
