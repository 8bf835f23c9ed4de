"""Chat models behind Anthropic's wire format."""

import json
from collections.abc import Mapping, Sequence

import aiohttp
import anthropic
import httpx2

from rlaif_jax import log
from rlaif_jax.config_parts import EndpointConfig
from rlaif_jax.labeling.body_limit import read_bounded
from rlaif_jax.labeling.chat import Answer
from rlaif_jax.labeling.constraints import Choices, constraint_of, verdict_schema
from rlaif_jax.labeling.endpoint import endpoint_host
from rlaif_jax.labeling.failures import (
    UNUSABLE,
    Failure,
    Target,
    billed_tokens,
    connection_failure,
    status_failure,
)
from rlaif_jax.labeling.headers import quotas
from rlaif_jax.labeling.question import endpoint_settings
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

API_ERRORS = (anthropic.AnthropicError, httpx2.HTTPError, aiohttp.ClientError)

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


class AnthropicChat:
    """`POST /v1/messages` through the official SDK, without its retries.

    Attributes:
      client: The SDK's, which the Batch API uses too.
      target: Whom messages name.
    """

    api = "anthropic"

    def __init__(
        self, config: EndpointConfig, *, api_key: str, choices: Choices | None = None
    ):
        self.model = config.model
        self.identity = config.identity or config.base_url
        self.host = endpoint_host(config.base_url)
        self.settings = endpoint_settings(config)
        self._output: Json = {}
        if config.reasoning_effort is not None:
            self._output["effort"] = config.reasoning_effort
        if constraint := constraint_of(config, choices):
            schema = verdict_schema(constraint[1])
            self._output["format"] = {"type": "json_schema", "schema": schema}
        self.target = Target(host=self.host, model=config.model, secret=api_key)
        self.client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=config.base_url,
            max_retries=0,
            timeout=config.timeout_s,
            open_telemetry=False,
            http_client=anthropic.DefaultAioHttpClient(
                follow_redirects=False,
                trust_env=False,
                timeout=config.timeout_s,
                limits=httpx2.Limits(max_connections=config.max_in_flight),
                event_hooks={"response": [read_bounded]},
            ),
        )
        # ANTHROPIC_CUSTOM_HEADERS must not reach the server
        self.client._custom_headers = {}
        log.quiet("anthropic", "httpx2", "httpcore2", "aiohttp")

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Answer:
        """Returns the model's answer; see `ChatModel.ask`. The API has no seed."""
        body = self.request(
            messages, max_tokens=max_tokens, temperature=temperature, seed=seed
        )
        try:
            # what `messages.create` calls, without the 0.2 ms of typed models
            response = await self.client.post(
                "/v1/messages", cast_to=httpx2.Response, body=body
            )
        except API_ERRORS as error:
            failure = self.failure(error)
        else:
            return self.read(response.content, response.headers)
        raise failure  # out here, so that no SDK exception, with its key, is chained

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.close()

    def request(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body that asks; the arguments are those of `ask`."""
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

    def failure(self, error: Exception) -> Failure:
        """What one of `API_ERRORS` means, without its key."""
        if isinstance(error, anthropic.APIStatusError):
            return status_failure(
                self.target, error.status_code, error.response.headers, error.body
            )
        return connection_failure(self.target, error)

    def read(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer in a response's body, which may hold anything.

        Raises:
          TransientError: If it holds no answer.
        """
        try:
            answer = _answer(json.loads(content), headers)
        except UNUSABLE:
            garbage = self.target.garbage(content)
        else:
            return answer
        raise garbage  # out here: what broke is no news, what was sent is told


def _answer(body: Json, headers: Mapping[str, str]) -> Answer:
    """The answer in a decoded body; raises one of `UNUSABLE` if there is none."""
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
