"""Tests of `rlaif_jax.labeling.chat`."""

from rlaif_jax.labeling.chat import RejectedError, TransientError


def test_a_transient_error_carries_the_servers_wish():
    error = TransientError("429", retry_after_s=3.0)
    assert error.retry_after_s == 3.0 and not error.may_be_billed


def test_a_rejection_carries_its_finish_reason():
    assert RejectedError("413", finish_reason="too_long").finish_reason == "too_long"
