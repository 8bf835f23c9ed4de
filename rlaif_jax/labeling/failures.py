"""What a failed HTTP call means: ask again, give this request up, or stop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.chat import RejectedError, TransientError
from rlaif_jax.labeling.headers import quotas, retry_after_s
from rlaif_jax.log import redact
from rlaif_jax.records import Usage

_RETRIED = {408, 409, 425, 429}  # and every 5xx, which includes Anthropic's 529
_NO_MONEY = {  # some come as 429, and no waiting helps
    "insufficient_quota",
    "billing_error",
    "billing_not_active",
    "billing_hard_limit_reached",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
}
_TOO_LONG = ("context_length_exceeded", "prompt is too long", "maximum context length")
_UNSAFE = {  # codes of a refusal that is no answer
    "content_filter",
    "content_policy_violation",
    "invalid_prompt",
    "bio_policy",
    "misalignment_policy_violation",
}
_NEVER_SENT = (aiohttp.ClientConnectorError, ConnectionRefusedError)
_LONGEST_QUOTE = 200  # characters of a server's message that are shown

# what reading a body that may hold anything can raise
UNUSABLE = (
    ValueError,  # not JSON, not UTF-8
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)

Failure = TransientError | RejectedError | UsageError | RefusedError
FAILURES = (TransientError, RejectedError, UsageError, RefusedError)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom a message names, and what it must never show.

    Attributes:
      host: The server's host and port.
      model: The requested model.
      secret: The key; blanked wherever a server repeats it, and never shown.
    """

    host: str
    model: str
    secret: str = field(repr=False)

    def quote(self, text: str) -> str:
        """A server's words, on one short line without the key."""
        shown = redact(text.replace(self.secret, "[redacted]"))
        return " ".join(shown.split())[:_LONGEST_QUOTE]

    def garbage(self, content: bytes) -> TransientError:
        """The failure of a call whose answer's body is not what the API promises."""
        words = self.quote(content.decode("utf-8", "replace")) or "nothing"
        return TransientError(
            f"garbage answer from {self.host} (check base_url and api): {words}",
            fault="garbage",
            may_be_billed=True,
        )


def status_failure(
    target: Target, status: int, headers: Mapping[str, str], body: object
) -> Failure:
    """The exception that an HTTP status calls for.

    Args:
      target: The endpoint that was asked.
      status: The status code; not a success.
      headers: The response's headers, for `retry-after` and rate limits.
      body: The response's body, decoded if it was JSON.
    """
    code, message = described(body)
    shown = f"{target.host} answered {status} for model {target.model!r}"
    if request_id := headers.get("x-request-id") or headers.get("request-id"):
        shown += f" (request {target.quote(request_id)})"
    quoted = target.quote(message)
    if status == 402 or code in _NO_MONEY:
        return RefusedError(f"{shown}: no credit left: {quoted}")
    if status in _RETRIED or status >= 500:
        return TransientError(
            f"{shown}: {quoted}",
            retry_after_s=retry_after_s(headers),
            fault="rate_limit" if status == 429 else "server_error",
            quotas=quotas(headers),
        )
    if status == 413 or any(mark in f"{code} {message}".lower() for mark in _TOO_LONG):
        return RejectedError(f"{shown}: {quoted}", finish_reason="too_long")
    if is_refusal(code):
        return RejectedError(f"{shown}: {quoted}", finish_reason="refusal")
    return UsageError(f"{shown}: {quoted or 'no message'}; {_advice(status)}")


def connection_failure(target: Target, error: BaseException) -> TransientError:
    """The exception for a call that brought no HTTP response.

    Args:
      target: The endpoint that was asked.
      error: What the SDK raised; it calls a dropped connection a failed one, so only
        its causes say whether the request was sent.
    """
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    words = target.quote(f"{type(causes[-1]).__name__} {causes[-1]}")
    return TransientError(
        f"no answer from {target.host}: {words}",
        fault="connection",
        may_be_billed=not any(isinstance(one, _NEVER_SENT) for one in causes),
    )


def billed_tokens(prompt_tokens: object, completion_tokens: object) -> Usage | None:
    """The usage, if both counts are sane; None if the server did not say."""
    for count in (prompt_tokens, completion_tokens):
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            return None
    return Usage.model_validate(
        {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    )


def is_refusal(code: str) -> bool:
    """Whether an error's code says that this request is not to be answered."""
    return code in _UNSAFE


def described(body: object) -> tuple[str, str]:
    """The error's code and message, where the body has them."""
    error: Any = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", str(error or "")
    details = error.get("details")  # Anthropic's; its type is broader
    code = details.get("error_code") if isinstance(details, dict) else None
    code = code or error.get("code") or error.get("type") or ""
    return str(code), str(error.get("message") or "")


def _advice(status: int) -> str:
    """What to look at."""
    if status in (401, 403):
        return "check the key in the variable that api_key_env names"
    if status == 404:
        return "check base_url and model"
    if 300 <= status < 400:
        return "redirects are not followed: set base_url to the final address"
    return "check the endpoint's options"
