"""Tests of `rlaif_jax.labeling.headers`."""

import pytest

from rlaif_jax.labeling.headers import Quota, quotas, retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_is_seconds_milliseconds_or_a_date(headers, seconds):
    assert retry_after_s(headers, clock=lambda: 60.0) == seconds


def test_openais_limits_are_read():
    headers = {
        "content-type": "application/json",
        "X-RateLimit-Limit-Requests": "5000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-limit-tokens": "160000",
        "x-ratelimit-remaining-tokens": "144000",
        "x-ratelimit-reset-tokens": "6s",
        "x-ratelimit-limit-project-tokens": "7",
    }
    assert quotas(headers) == {
        "requests": Quota(5000.0, 4999.0, 0.012),
        "tokens": Quota(160000.0, 144000.0, 6.0),
    }


def test_anthropics_limits_are_read_by_the_servers_own_clock():
    headers = {
        "date": "Sat, 21 Nov 2026 12:00:00 GMT",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "20",
        "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:36Z",
        "anthropic-ratelimit-input-tokens-limit": "400000",
        "anthropic-ratelimit-input-tokens-remaining": "400000",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-21T11:59:58Z",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "0",
        "anthropic-ratelimit-output-tokens-reset": "2026-11-21T13:01:00+01:00",
    }
    assert quotas(headers, clock=lambda: 0.0) == {
        "requests": Quota(50.0, 20.0, 36.0),
        "input-tokens": Quota(400000.0, 400000.0, 0.0),
        "output-tokens": Quota(8000.0, 0.0, 60.0),
    }


def test_a_time_of_day_is_compared_with_our_clock_if_the_server_tells_no_date():
    headers = {
        "anthropic-ratelimit-tokens-limit": "9",
        "anthropic-ratelimit-tokens-remaining": "3",
        "anthropic-ratelimit-tokens-reset": "1970-01-01T00:01:40Z",
    }
    assert quotas(headers, clock=lambda: 60.0) == {"tokens": Quota(9.0, 3.0, 40.0)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("30ms", 0.03),
        ("1h2m3.5s", 3723.5),
        ("2d", 172800.0),
        ("500us", 0.0005),
        ("12", 12.0),
        ("0s", 0.0),
        ("1970-01-01T00:01:40", None),  # whose time?
        ("6m0", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_reset_is_a_duration_seconds_or_a_time_of_day(text, seconds):
    headers = {
        "x-ratelimit-limit-tokens": "10",
        "x-ratelimit-remaining-tokens": "1",
        "x-ratelimit-reset-tokens": text,
    }
    assert quotas(headers)["tokens"].reset_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [("0", "0"), ("-5", "0"), ("many", "1"), ("inf", "1"), ("10", "nan"), ("10", "-1")],
)
def test_what_makes_no_sense_is_no_limit(limit, remaining):
    headers = {
        "x-ratelimit-limit-tokens": limit,
        "x-ratelimit-remaining-tokens": remaining,
    }
    assert quotas(headers) == {}
    assert quotas({"x-ratelimit-limit-tokens": "10"}) == {}


def test_no_more_is_left_than_there_is():
    headers = {"x-ratelimit-limit-tokens": "10", "x-ratelimit-remaining-tokens": "15"}
    assert quotas(headers) == {"tokens": Quota(10.0, 10.0, None)}
