"""A model behind one path of an API, asked over its vendor's SDK.

The SDK brings the connections, the headers and the key's way into them; what is sent,
when, and how often is ours. Its `post` would build the same headers and the same
address anew for every call, which takes as long as all that is ours together.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
import httpx2

from rlaif_jax import log
from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.labeling.body_limit import read_bounded
from rlaif_jax.labeling.chat import Answer
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

TRANSPORT_ERRORS = (httpx2.HTTPError, aiohttp.ClientError)
_SENDING_ERRORS = (*TRANSPORT_ERRORS, OSError, ValueError)

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class SdkModel(ABC):
    """Asks once, without the SDK's retries; see `ChatModel`.

    A subclass opens the client, and says what is sent and how the body that comes back
    is read.

    Attributes:
      path: Where questions go, below the base URL.
      errors: All that the client raises.
      status_error: Of these, the one for an HTTP status that is no success.
      call_options: What the client builds a request from.
      client: The SDK's, which the Batch API uses.
      target: Whom messages name.
    """

    api: str
    path: str
    errors: ClassVar[tuple[type[Exception], ...]]
    status_error: ClassVar[type[Any]]
    call_options: ClassVar[type[Any]]

    def __init__(
        self,
        config: EndpointConfig,
        *,
        api_key: str,
        client: Any,
        http: httpx2.AsyncClient,
    ):
        """A model that is asked over an SDK's connections.

        Args:
          config: The endpoint.
          api_key: For what a message must never show.
          client: The SDK's, opened with that key.
          http: What it sends with; see `http_options`.
        """
        log.quiet("openai", "anthropic", "httpx2", "httpcore2", "aiohttp")
        self.model = config.model
        self.identity = config.identity or config.base_url
        self.host = endpoint_host(config.base_url)
        self.settings = endpoint_settings(config)
        self.target = Target(host=self.host, model=config.model, secret=api_key)
        self.client = client
        # what the SDK read from the environment must not reach the server
        client._custom_headers = {}
        options = self.call_options.construct(
            method="post", url=self.path, json_data={}
        )
        built: httpx2.Request = client._build_request(options)
        del built.headers["content-length"]
        self._url, self._headers = built.url, built.headers
        self._http = http

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
        request = httpx2.Request(
            "POST", self._url, headers=self._headers, content=_encode(body).encode()
        )
        try:
            response = await self._http.send(request)
        except _SENDING_ERRORS as error:
            failure = connection_failure(self.target, error)
        else:
            if response.is_success:
                return self.read(response.content, response.headers)
            failure = status_failure(
                self.target,
                response.status_code,
                response.headers,
                _decoded(response.content),
            )
        raise failure  # out here, so that no exception with the key in it is chained

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.close()

    @abstractmethod
    def request(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body that asks; the arguments are those of `ask`."""

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
        """What one of `errors` means, without its key."""
        if isinstance(error, self.status_error):
            told: Any = error
            return status_failure(
                self.target, told.status_code, told.response.headers, told.body
            )
        return connection_failure(self.target, error)

    @abstractmethod
    def _answer(self, body: Json, headers: Mapping[str, str]) -> Answer:
        """The answer in a decoded body; raises one of `UNUSABLE` if there is none."""


def http_options(config: EndpointConfig) -> dict[str, Any]:
    """How an SDK's HTTP client is opened: nothing is followed, or read from outside."""
    return {
        "follow_redirects": False,
        "trust_env": False,
        "timeout": config.timeout_s,
        "limits": httpx2.Limits(max_connections=config.max_in_flight),
        "event_hooks": {"response": [read_bounded]},
    }


def _decoded(content: bytes) -> object:
    """The body of an error: JSON if it can be."""
    try:
        return json.loads(content)
    except UNUSABLE:
        return content.decode("utf-8", "replace")
