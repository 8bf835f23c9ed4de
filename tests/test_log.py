"""Tests of `rlaif_jax.log`."""

import io
import logging

from rlaif_jax import log


def test_keys_are_blanked_wherever_they_are_logged():
    log.configure()
    stream = io.StringIO()
    handler = logging.getLogger("rlaif_jax").handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    log.logger("rlaif_jax.x").info("key %s", "sk-proj-abcdef123456")
    log.logger("rlaif_jax.x").info("Authorization: Bearer abcdef123456")
    assert "abcdef" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 2


def test_libraries_that_are_quieted_keep_their_warnings(monkeypatch):
    noisy, strict = logging.getLogger("noisy"), logging.getLogger("strict")
    monkeypatch.setattr(noisy, "level", logging.DEBUG)
    monkeypatch.setattr(strict, "level", logging.ERROR)
    log.quiet("noisy", "strict")
    assert not noisy.getChild("part").isEnabledFor(logging.INFO)
    assert noisy.isEnabledFor(logging.WARNING)
    assert strict.level == logging.ERROR
