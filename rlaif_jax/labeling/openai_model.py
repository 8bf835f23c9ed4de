"""What OpenAI's APIs have in common: the client, its failures, how tokens are told."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import aiohttp
import httpx2
import openai

from rlaif_jax import log
from rlaif_jax.config_parts import CriticConfig, EndpointConfig
from rlaif_jax.labeling.body_limit import read_bounded
from rlaif_jax.labeling.chat import Answer, Token
from rlaif_jax.labeling.endpoint import endpoint_host
from rlaif_jax.labeling.failures import (
    UNUSABLE,
    Failure,
    Target,
    connection_failure,
    status_failure,
)
from rlaif_jax.labeling.question import endpoint_settings
from rlaif_jax.records import Message
from rlaif_jax.typing import Json

API_ERRORS = (openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError)
NUM_ALTERNATIVES = 20  # of a token; the most that OpenAI and vLLM tell
_NUM_TOKENS_KEPT = 32  # of an answer: a verdict stands at its beginning
_MAX_LOGP = 0.01  # rounding may lift a certain token's above 0


class OpenAIModel:
    """A model behind one path of OpenAI's API, asked without the SDK's retries.

    A subclass says what is sent and how the body that comes back is read.

    Attributes:
      client: The SDK's, which the Batch API uses too.
      target: Whom messages name.
    """

    api: str
    path: str

    def __init__(self, config: EndpointConfig, *, api_key: str):
        self.model = config.model
        self.identity = config.identity or config.base_url
        self.host = endpoint_host(config.base_url)
        self.settings = endpoint_settings(config)
        self._tells_tokens = (
            isinstance(config, CriticConfig) and config.verdicts == "soft"
        )
        self.target = Target(host=self.host, model=config.model, secret=api_key)
        self.client = _client(config, api_key)
        log.quiet("openai", "httpx2", "httpcore2", "aiohttp")

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Answer:
        """Returns the model's answer; see `ChatModel.ask`."""
        body = self.request(
            messages, max_tokens=max_tokens, temperature=temperature, seed=seed
        )
        try:
            # what the SDK's `create` calls, without the 0.4 ms of typed models
            response = await self.client.post(
                self.path, cast_to=httpx2.Response, body=body
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
        raise NotImplementedError

    def read(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer in a response's body, which may hold anything.

        Raises:
          TransientError: If it holds no answer.
        """
        try:
            answer = self._answer(json.loads(content), headers)
        except UNUSABLE:
            garbage = self.target.garbage(content)
        else:
            return answer
        raise garbage  # out here: what broke is no news, what was sent is told

    def failure(self, error: Exception) -> Failure:
        """What one of `API_ERRORS` means, without its key."""
        if isinstance(error, openai.APIStatusError):
            return status_failure(
                self.target, error.status_code, error.response.headers, error.body
            )
        return connection_failure(self.target, error)

    def _answer(self, body: Json, headers: Mapping[str, str]) -> Answer:
        """The answer in a decoded body; raises one of `UNUSABLE` if there is none."""
        raise NotImplementedError


def sent_turns(messages: Sequence[Message]) -> list[Json]:
    """The turns of a chat, as every API here takes them."""
    return [{"role": turn.role, "content": turn.content} for turn in messages]


def told_tokens(told: Iterable[Json]) -> tuple[Token, ...]:
    """The first tokens of an answer, of what a server told of them."""
    return tuple(
        Token(
            *_spelled(token), tuple(_spelled(other) for other in token["top_logprobs"])
        )
        for token in [*told][:_NUM_TOKENS_KEPT]
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


def _client(config: EndpointConfig, api_key: str) -> openai.AsyncOpenAI:
    """The SDK's client, of which nothing is left to the environment."""
    client = openai.AsyncOpenAI(
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
    client.organization = None
    client.project = None
    client.admin_api_key = None
    client._custom_headers = {}
    return client
