"""Tests of `rlaif_jax.labeling.failures`."""

import aiohttp
import pytest

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.chat import RejectedError, TransientError
from rlaif_jax.labeling.failures import (
    Target,
    billed_tokens,
    connection_failure,
    status_failure,
)
from rlaif_jax.labeling.headers import Quota
from rlaif_jax.records import Usage

TARGET = Target(host="api.example.com", model="m-1", secret="hunter2-key")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_pass_is_asked_again(status):
    failure = status_failure(TARGET, status, {"retry-after": "7"}, None)
    assert isinstance(failure, TransientError)
    assert failure.retry_after_s == 7.0 and not failure.may_be_billed


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 422])
def test_what_never_passes_names_host_model_and_status(status):
    failure = status_failure(TARGET, status, {}, {"error": {"message": "no\nway"}})
    assert isinstance(failure, UsageError)
    assert f"api.example.com answered {status} for model 'm-1': no way" in str(failure)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"code": "insufficient_quota", "message": "pay"}}),
        (429, {"code": "insufficient_quota", "message": "pay"}),
        (402, None),
        (
            429,
            {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "message": "no",
                    "details": {"error_code": "enforced_spend_limit_reached"},
                },
            },
        ),
    ],
)
def test_an_empty_account_ends_the_run(status, body):
    assert isinstance(status_failure(TARGET, status, {}, body), RefusedError)


@pytest.mark.parametrize(
    ("status", "body", "finish_reason"),
    [
        (400, {"code": "context_length_exceeded", "message": ""}, "too_long"),
        (400, {"error": {"message": "prompt is too long: 9 > 8"}}, "too_long"),
        (413, None, "too_long"),
        (400, {"error": {"code": "content_filter"}}, "refusal"),
        (400, {"error": {"code": "invalid_prompt", "message": "flagged"}}, "refusal"),
        (400, {"error": {"code": "bio_policy", "message": "no"}}, "refusal"),
    ],
)
def test_one_bad_request_does_not_end_the_run(status, body, finish_reason):
    failure = status_failure(TARGET, status, {}, body)
    assert isinstance(failure, RejectedError)
    assert failure.finish_reason == finish_reason


def test_a_key_that_the_server_repeats_is_blanked():
    body = {"error": {"message": "bad key hunter2-key " + "x" * 1000}}
    shown = str(status_failure(TARGET, 401, {}, body))
    assert "hunter2-key" not in shown and "[redacted]" in shown
    assert len(shown) < 400


def test_the_key_is_not_shown_with_the_target():
    assert "hunter2" not in repr(TARGET) and "m-1" in repr(TARGET)


def test_a_failure_names_the_servers_own_word_for_the_call():
    for name in ("x-request-id", "request-id"):
        shown = str(status_failure(TARGET, 400, {name: "req_1 hunter2-key"}, None))
        assert "(request req_1 [redacted])" in shown


def test_only_429_is_a_rate_limit_and_brings_its_facts():
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
    }
    limited, broken = (status_failure(TARGET, s, headers, None) for s in (429, 503))
    assert isinstance(limited, TransientError) and isinstance(broken, TransientError)
    assert (limited.fault, broken.fault) == ("rate_limit", "server_error")
    assert limited.quotas == broken.quotas == {"requests": Quota(60.0, 0.0, None)}


def test_only_a_refused_connection_is_surely_free():
    refused, dropped = RuntimeError("x"), RuntimeError("x")
    refused.__cause__ = ConnectionRefusedError("refused")
    dropped.__cause__ = aiohttp.ServerDisconnectedError("cut")
    assert not connection_failure(TARGET, refused).may_be_billed
    assert connection_failure(TARGET, dropped).may_be_billed
    assert connection_failure(TARGET, dropped).fault == "connection"


def test_token_counts_must_be_sane():
    assert billed_tokens(3, 4) == Usage(prompt_tokens=3, completion_tokens=4)
    for count in (None, -1, "3", True, 2.5):
        assert billed_tokens(count, 4) is None
