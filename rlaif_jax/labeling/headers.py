"""What a response's headers say: when to come back, and what is left of a limit."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple, cast

Kind = Literal["requests", "tokens", "input-tokens", "output-tokens"]

_FIELD = "(limit|remaining|reset)"
_KIND = "(requests|tokens|input-tokens|output-tokens)"
_OPENAI = re.compile(f"x-ratelimit-{_FIELD}-{_KIND}")
_ANTHROPIC = re.compile(f"anthropic-ratelimit-{_KIND}-{_FIELD}")
_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_PART = r"(\d+(?:\.\d+)?)(d|h|ms|m|us|s)"
_DURATION = re.compile(f"(?:{_PART})+")


class Quota(NamedTuple):
    """One rate limit, as the server tells it.

    Attributes:
      limit: Requests or tokens that may be spent at once; above 0.
      remaining: How many of them are left.
      reset_s: Seconds until all are back; None if not told.
    """

    limit: float
    remaining: float
    reset_s: float | None


Quotas = Mapping[Kind, Quota]


def quotas(
    headers: Mapping[str, str], *, clock: Callable[[], float] = time.time
) -> Quotas:
    """The rate limits that a response tells, of OpenAI's or Anthropic's names.

    Args:
      headers: The response's headers. A reset is a duration such as `6m0s` or `30ms`,
        a number of seconds, or a time of day (RFC 3339), which is compared with the
        server's own clock, the header `date`.
      clock: Seconds since 1970, where the server does not tell its time.
    """
    told: dict[Kind, dict[str, str]] = {}
    for name, value in headers.items():
        if "-ratelimit-" not in name.lower():
            continue
        if found := _OPENAI.fullmatch(name.lower()):
            field, kind = found.groups()
        elif found := _ANTHROPIC.fullmatch(name.lower()):
            kind, field = found.groups()
        else:
            continue
        told.setdefault(cast(Kind, kind), {})[field] = value
    if not told:
        return {}
    now = _http_date(headers.get("date")) or clock()
    known: dict[Kind, Quota | None] = {
        kind: _quota(fields, now) for kind, fields in told.items()
    }
    return {kind: quota for kind, quota in known.items() if quota is not None}


def retry_after_s(
    headers: Mapping[str, str], *, clock: Callable[[], float] = time.time
) -> float | None:
    """Seconds that the server asks to be left alone; None if it does not say.

    Args:
      headers: The response's headers; `retry-after` is seconds or an HTTP date.
      clock: Seconds since 1970.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    date = _http_date(text)
    return None if date is None else max(0.0, date - clock())


def _quota(fields: Mapping[str, str], now: float) -> Quota | None:
    """The limit in the headers of one kind; None if they do not make sense."""
    limit, remaining = _number(fields.get("limit")), _number(fields.get("remaining"))
    if not limit or remaining is None:
        return None
    return Quota(limit, min(remaining, limit), _reset_s(fields.get("reset"), now))


def _reset_s(text: str | None, now: float) -> float | None:
    """Seconds until a reset, however it is written."""
    if text is None:
        return None
    if (seconds := _number(text)) is not None:
        return seconds
    if _DURATION.fullmatch(text):
        parts = re.findall(_PART, text)
        return sum(float(count) * _UNIT_S[unit] for count, unit in parts)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else max(0.0, at.timestamp() - now)


def _http_date(text: str | None) -> float | None:
    """Seconds since 1970 of a date as HTTP writes it, or None."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    """A finite number that is not negative, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
