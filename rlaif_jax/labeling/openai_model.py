"""What OpenAI's APIs have in common: the client, and how turns and tokens are told."""

import math
from collections.abc import Iterable, Sequence

import httpx2
import openai
from openai._models import FinalRequestOptions

from rlaif_jax.config_endpoints import CriticConfig, EndpointConfig
from rlaif_jax.labeling.chat import Token
from rlaif_jax.labeling.sdk_model import TRANSPORT_ERRORS, SdkModel, http_options
from rlaif_jax.records import Message
from rlaif_jax.typing import Json

NUM_ALTERNATIVES = 20  # of a token; the most that OpenAI and vLLM tell
_NUM_TOKENS_KEPT = 32  # of an answer: a verdict stands at its beginning
_MAX_LOGP = 0.01  # rounding may lift a certain token's above 0


class OpenAIModel(SdkModel):
    """A model behind one path of OpenAI's API."""

    errors = (openai.OpenAIError, *TRANSPORT_ERRORS)
    status_error = openai.APIStatusError
    call_options = FinalRequestOptions

    def __init__(self, config: EndpointConfig, *, api_key: str):
        http = openai.DefaultAioHttpClient(**http_options(config))
        client = _client(config, api_key, http)
        super().__init__(config, api_key=api_key, client=client, http=http)
        self._tells_tokens = (
            isinstance(config, CriticConfig) and config.verdicts == "soft"
        )


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


def _client(
    config: EndpointConfig, api_key: str, http: httpx2.AsyncClient
) -> openai.AsyncOpenAI:
    """The SDK's client, of which nothing is left to the environment."""
    client = openai.AsyncOpenAI(
        api_key=api_key,
        base_url=config.base_url,
        max_retries=0,
        timeout=config.timeout_s,
        http_client=http,
    )
    # what the SDK read from the environment must not reach the server
    client.organization = None
    client.project = None
    client.admin_api_key = None
    return client
