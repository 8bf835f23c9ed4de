"""Chat models behind OpenAI's wire format, hosted or local."""

import json
import math
from collections.abc import Mapping, Sequence

import aiohttp
import httpx2
import openai

from rlaif_jax.config_parts import CriticConfig, EndpointConfig
from rlaif_jax.labeling.chat import Answer, Token
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
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

API_ERRORS = (openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError)

_NUM_ALTERNATIVES = 20  # of a token; the most that OpenAI and vLLM tell
_NUM_TOKENS_KEPT = 32  # of an answer: a verdict stands at its beginning
_MAX_LOGP = 0.01  # rounding may lift a certain token's above 0
_RENAMED_LIMIT_HOSTS = ("api.openai.com", ".openai.azure.com")  # reject max_tokens


class OpenAIChat:
    """`POST /chat/completions` through the official SDK, without its retries.

    Attributes:
      client: The SDK's, which the Batch API uses too.
      target: Whom messages name.
    """

    api = "openai"

    def __init__(self, config: EndpointConfig, *, api_key: str):
        self.model = config.model
        self.identity = config.identity or config.base_url
        self.host = endpoint_host(config.base_url)
        self.target = Target(host=self.host, model=config.model, secret=api_key)
        renamed = self.host.partition(":")[0].endswith(_RENAMED_LIMIT_HOSTS)
        self._limit_name = "max_completion_tokens" if renamed else "max_tokens"
        self._tells_tokens = (
            isinstance(config, CriticConfig) and config.verdicts == "soft"
        )
        self.client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=config.base_url,
            max_retries=0,
            timeout=config.timeout_s,
            http_client=openai.DefaultAioHttpClient(
                follow_redirects=False,
                trust_env=False,
                timeout=config.timeout_s,
                limits=httpx2.Limits(max_connections=config.max_in_flight),
            ),
        )
        # what the SDK read from the environment must not reach the server
        self.client.organization = None
        self.client.project = None
        self.client.admin_api_key = None
        self.client._custom_headers = {}

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Answer:
        """Returns the model's answer; see `ChatModel.ask`."""
        body = self.body(
            messages, max_tokens=max_tokens, temperature=temperature, seed=seed
        )
        try:
            # what `chat.completions.create` calls, without the 0.4 ms of typed models
            response = await self.client.post(
                "/chat/completions", cast_to=httpx2.Response, body=body
            )
        except API_ERRORS as error:
            failure = self.failure(error)
        else:
            return self.answer(response.content, response.headers)
        raise failure  # out here, so that no SDK exception, with its key, is chained

    def body(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body of a request; arguments as of `ask`."""
        body: Json = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            self._limit_name: max_tokens,
        }
        if temperature is not None:
            body["temperature"] = temperature
        if seed is not None:
            body["seed"] = seed
        if self._tells_tokens:
            body |= {"logprobs": True, "top_logprobs": _NUM_ALTERNATIVES}
        return body

    def failure(self, error: Exception) -> Failure:
        """What an SDK's exception means, without its key."""
        if isinstance(error, openai.APIStatusError):
            return status_failure(
                self.target, error.status_code, error.response.headers, error.body
            )
        return connection_failure(self.target, error)

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.close()

    def answer(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer in a response's body, which may hold anything.

        Raises:
          TransientError: If it holds no answer.
        """
        try:
            body = json.loads(content)
            choice = body["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content"), message.get("refusal")
            reason = "refusal" if refusal else choice["finish_reason"]
            if not isinstance(text, str) and (reason == "stop" or text is not None):
                raise TypeError(f"content is {type(text).__name__}")
            answer = Answer(
                text=text or "",
                finish_reason=str(reason),
                returned_model=str(body.get("model") or ""),
                usage=_usage(body.get("usage")),
                request_id=headers.get("x-request-id") or str(body.get("id") or ""),
                quotas=quotas(headers),
                tokens=_tokens(choice.get("logprobs")) if self._tells_tokens else (),
            )
        except UNUSABLE:
            garbage = self.target.garbage(content)
        else:
            return answer
        raise garbage  # out here: what broke is no news, what was sent is told


def _tokens(logprobs: Json | None) -> tuple[Token, ...]:
    """The first tokens of an answer; none if the server did not tell them."""
    told = (logprobs or {}).get("content") or []
    return tuple(
        Token(
            *_spelled(token), tuple(_spelled(other) for other in token["top_logprobs"])
        )
        for token in told[:_NUM_TOKENS_KEPT]
    )


def _spelled(token: Json) -> tuple[str, float]:
    """A token's text and log-probability."""
    text, raw, logp = token["token"], token.get("bytes"), token["logprob"]
    if isinstance(raw, list):  # the text may stand for a part of a character
        text = bytes(raw).decode("utf-8", "surrogateescape")
    if not isinstance(text, str) or isinstance(logp, bool):
        raise TypeError(f"token {text!r} with log-probability {logp!r}")
    if math.isnan(logp) or logp > _MAX_LOGP:
        raise ValueError(f"log-probability {logp}")
    return text, min(0.0, float(logp))


def _usage(usage: object) -> Usage | None:
    """The tokens billed; cached ones are among the prompt's in this format."""
    if not isinstance(usage, dict):
        return None
    return billed_tokens(usage.get("prompt_tokens"), usage.get("completion_tokens"))
