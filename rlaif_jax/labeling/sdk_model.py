"""A model behind one path of an API, asked through its vendor's SDK.

The SDK brings the connections; what is sent, when, and how often is ours.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
import httpx2

from rlaif_jax import log
from rlaif_jax.config_parts import EndpointConfig
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


class SdkModel(ABC):
    """Asks once, without the SDK's retries; see `ChatModel`.

    A subclass opens the client, and says what is sent and how the body that comes back
    is read.

    Attributes:
      path: Where questions go, below the base URL.
      errors: All that the client raises.
      status_error: Of these, the one for an HTTP status that is no success.
      client: The SDK's, which the Batch API uses too.
      target: Whom messages name.
    """

    api: str
    path: str
    errors: ClassVar[tuple[type[Exception], ...]]
    status_error: ClassVar[type[Any]]

    def __init__(self, config: EndpointConfig, *, api_key: str, client: Any):
        self.model = config.model
        self.identity = config.identity or config.base_url
        self.host = endpoint_host(config.base_url)
        self.settings = endpoint_settings(config)
        self.target = Target(host=self.host, model=config.model, secret=api_key)
        self.client = client
        # what the SDK read from the environment must not reach the server
        client._custom_headers = {}
        log.quiet("openai", "anthropic", "httpx2", "httpcore2", "aiohttp")

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
            # what the SDK's `create` calls, without 0.2 to 0.4 ms of typed models
            response = await self.client.post(
                self.path, cast_to=httpx2.Response, body=body
            )
        except self.errors as error:
            failure = self.failure(error)
        else:
            return self.read(response.content, response.headers)
        raise failure  # out here, so that no SDK exception, with its key, is chained

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
