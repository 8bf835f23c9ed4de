"""A chat model behind HTTP, and the three ways in which a call to it can fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from rlaif_jax.labeling.headers import Quotas
from rlaif_jax.records import Message, Usage
from rlaif_jax.typing import Json

Fault = Literal["rate_limit", "server_error", "connection", "deadline", "garbage"]


class TransientError(Exception):
    """The model may answer if asked again: rate limit, time-out, garbage.

    Attributes:
      fault: What kind of failure it is: of the limits, of the server by its own word,
        of the connection, of time, or of an answer that is none.
      retry_after_s: Seconds the server asked to be left alone, if it said so.
      may_be_billed: Whether the server may have done the work all the same.
      quotas: The rate limits that the server told.
    """

    def __init__(
        self,
        message: str,
        *,
        fault: Fault = "server_error",
        retry_after_s: float | None = None,
        may_be_billed: bool = False,
        quotas: Quotas | None = None,
    ):
        super().__init__(message)
        self.fault: Fault = fault
        self.retry_after_s = retry_after_s
        self.may_be_billed = may_be_billed
        self.quotas = quotas or {}

    @property
    def is_rate_limit(self) -> bool:
        """Whether the server answers, but not so many calls."""
        return self.fault == "rate_limit"


class RejectedError(Exception):
    """This one request will never be answered; others may be.

    Attributes:
      finish_reason: `too_long` or `refusal`.
    """

    def __init__(self, message: str, *, finish_reason: str):
        super().__init__(message)
        self.finish_reason = finish_reason


class Token(NamedTuple):
    """One token of an answer, and what could have stood in its place.

    Attributes:
      text: What it spells; bytes that are no character are lone surrogates.
      logp: Its log-probability, in nats.
      top: The likeliest tokens there, itself usually among them, and theirs.
    """

    text: str
    logp: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from one call.

    Attributes:
      text: All text of the answer; may be empty.
      finish_reason: stop, length, refusal, content_filter, or the server's own word.
      returned_model: The model that the server says has answered.
      usage: Tokens billed; None if the server did not say.
      request_id: The server's name for the call, empty if it gave none.
      quotas: The rate limits that the server told.
      tokens: The first tokens, of an endpoint that was opened to tell them.
      odds: Probabilities of the two choices, of an endpoint that chooses.
      refusal: Why the model refused, in its own words or by category, if it told.
      service_tier: The tier that has answered, if the server told.
      system_fingerprint: The backend that has answered, likewise.
    """

    text: str
    finish_reason: str
    returned_model: str
    usage: Usage | None
    request_id: str
    quotas: Quotas = field(default_factory=dict)
    tokens: tuple[Token, ...] = ()
    odds: tuple[float, float] | None = None
    refusal: str = ""
    service_tier: str = ""
    system_fingerprint: str = ""


@runtime_checkable
class ChatModel(Protocol):
    """Asks once. Retries, limits, deadlines and storage are the caller's.

    Attributes:
      api: The wire format, as a config names it.
      model: The model's name, as requested.
      identity: Names the endpoint in the ledger.
      host: The server's host and port, for messages.
      settings: What else is sent with every question and can change an answer, for the
        ledger's key; empty where all options are at their defaults.
    """

    api: str
    model: str
    identity: str
    host: str
    settings: Mapping[str, str]

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Answer:
        """Returns the model's answer.

        Args:
          messages: The conversation so far.
          max_tokens: Limit of the answer.
          temperature: Of the sampling; the server's default if None.
          seed: Of the sampling, where the API has one.

        Raises:
          TransientError: If asking again may help.
          RejectedError: If this request can never be answered.
          UsageError: If no request can be answered: wrong key, model or option.
          RefusedError: If the account may not spend more.
        """
        ...

    def request(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int | None,
    ) -> Json:
        """The body of the request that `ask` sends; the same arguments."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...
