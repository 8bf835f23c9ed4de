"""Chat models behind OpenAI's wire format, hosted or local."""

import json
import math
from collections.abc import Mapping, Sequence

import aiohttp
import httpx2
import openai

from rlaif_jax.config_parts import CriticConfig, EndpointConfig
from rlaif_jax.labeling.body_limit import read_bounded
from rlaif_jax.labeling.chat import Answer, Token
from rlaif_jax.labeling.endpoint import endpoint_host
from rlaif_jax.labeling.failures import (
    UNUSABLE,
    Target,
    billed_tokens,
    connection_failure,
    status_failure,
)
from rlaif_jax.labeling.headers import quotas
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

_NUM_ALTERNATIVES = 20  # of a token; the most that OpenAI and vLLM tell
_NUM_TOKENS_KEPT = 32  # of an answer: a verdict stands at its beginning
_MAX_LOGP = 0.01  # rounding may lift a certain token's above 0
_RENAMED_LIMIT_HOSTS = ("api.openai.com", ".openai.azure.com")  # reject max_tokens


class OpenAIChat:
    """`POST /chat/completions` through the official SDK, without its retries."""

    api = "openai"

    def __init__(self, config: EndpointConfig, *, api_key: str):
        self.model = config.model
        self.identity = config.identity or config.base_url
        self.host = endpoint_host(config.base_url)
        self._target = Target(host=self.host, model=config.model, secret=api_key)
        renamed = self.host.partition(":")[0].endswith(_RENAMED_LIMIT_HOSTS)
        self._limit_name = "max_completion_tokens" if renamed else "max_tokens"
        self._tells_tokens = (
            isinstance(config, CriticConfig) and config.verdicts == "soft"
        )
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=config.base_url,
            max_retries=0,
            timeout=config.timeout_s,
            http_client=openai.DefaultAioHttpClient(
                follow_redirects=False,
                trust_env=False,
                timeout=config.timeout_s,
                limits=httpx2.Limits(max_connections=config.max_in_flight),
                event_hooks={"response": [read_bounded]},
            ),
        )
        # what the SDK read from the environment must not reach the server
        self._client.organization = None
        self._client.project = None
        self._client.admin_api_key = None
        self._client._custom_headers = {}

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Answer:
        """Returns the model's answer; see `ChatModel.ask`."""
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
        try:
            # what `chat.completions.create` calls, without the 0.4 ms of typed models
            response = await self._client.post(
                "/chat/completions", cast_to=httpx2.Response, body=body
            )
        except openai.APIStatusError as error:
            failure = status_failure(
                self._target, error.status_code, error.response.headers, error.body
            )
        except (openai.OpenAIError, aiohttp.ClientError) as error:
            failure = connection_failure(self._target, error)
        else:
            return self._answer(response.content, response.headers)
        raise failure  # out here, so that no SDK exception, with its key, is chained

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def _answer(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer in a response's body, which may hold anything."""
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
            garbage = self._target.garbage(content)
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
