"""Chat models behind OpenAI's wire format, hosted or local."""

from collections.abc import Mapping, Sequence

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.chat import Answer
from rlaif_jax.labeling.constraints import Choices, constraint_of, verdict_schema
from rlaif_jax.labeling.failures import billed_tokens
from rlaif_jax.labeling.headers import quotas
from rlaif_jax.labeling.openai_model import (
    NUM_ALTERNATIVES,
    OpenAIModel,
    sent_turns,
    told_tokens,
)
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

_RENAMED_LIMIT_HOSTS = ("api.openai.com", ".openai.azure.com")  # reject max_tokens


class OpenAIChat(OpenAIModel):
    """`POST /chat/completions`, of OpenAI itself or of any server that speaks it."""

    api = "openai"
    path = "/chat/completions"

    def __init__(
        self, config: EndpointConfig, *, api_key: str, choices: Choices | None = None
    ):
        super().__init__(config, api_key=api_key)
        renamed = self.host.partition(":")[0].endswith(_RENAMED_LIMIT_HOSTS)
        self._limit_name = "max_completion_tokens" if renamed else "max_tokens"
        self._options: Json = {**self.settings}
        if self._tells_tokens:
            self._options |= {"logprobs": True, "top_logprobs": NUM_ALTERNATIVES}
        self._options |= _constraint(config, choices)

    def request(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body that asks; see `ChatModel.ask`."""
        body: Json = {
            "model": self.model,
            "messages": sent_turns(messages),
            self._limit_name: max_tokens,
        }
        if temperature is not None:
            body["temperature"] = temperature
        if seed is not None:
            body["seed"] = seed
        return body | self._options

    def _answer(self, body: Json, headers: Mapping[str, str]) -> Answer:
        choice = body["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
        reason = "refusal" if refusal else choice["finish_reason"]
        if not isinstance(text, str) and (reason == "stop" or text is not None):
            raise TypeError(f"content is {type(text).__name__}")
        told = (choice.get("logprobs") or {}).get("content") or []
        return Answer(
            text=text or "",
            finish_reason=str(reason),
            returned_model=str(body.get("model") or ""),
            usage=_usage(body.get("usage")),
            request_id=headers.get("x-request-id") or str(body.get("id") or ""),
            quotas=quotas(headers),
            tokens=told_tokens(told) if self._tells_tokens else (),
            refusal=str(refusal or ""),
            service_tier=str(body.get("service_tier") or ""),
            system_fingerprint=str(body.get("system_fingerprint") or ""),
        )


def _constraint(config: EndpointConfig, choices: Choices | None) -> Json:
    """The option that lets the server sample nothing but a verdict."""
    constraint = constraint_of(config, choices)
    if constraint is None:
        return {}
    how, allowed = constraint
    if how == "structured_outputs":
        return {"structured_outputs": {"choice": [*allowed]}}
    named = {"name": "verdict", "strict": True, "schema": verdict_schema(allowed)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _usage(usage: object) -> Usage | None:
    """The tokens billed; cached ones are among the prompt's in this format."""
    if not isinstance(usage, dict):
        return None
    return billed_tokens(usage.get("prompt_tokens"), usage.get("completion_tokens"))
