"""Tests of `rlaif_jax.commands.console`."""

import io
import logging

import pytest

from rlaif_jax import log
from rlaif_jax.commands.console import Console


@pytest.fixture
def lines():
    """What reaches stderr when it is no terminal."""
    log.configure()
    stream = io.StringIO()
    handler = logging.getLogger("rlaif_jax").handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return lambda: stream.getvalue().splitlines()


def test_off_a_terminal_a_bar_is_a_line_at_its_end(lines):
    with Console() as console:
        for done in range(1, 101):
            console.update("labels", done, 100, "0.10 USD")
    (line,) = lines()
    assert line.endswith("labels 100/100 0.10 USD")


def test_news_are_told_at_once_unless_quiet(lines):
    Console(quiet=True).say("nothing")
    Console(quiet=True).update("x", 1, 1)
    Console().say("reading [bold]x[/bold]")
    (line,) = lines()
    assert line.endswith("reading [bold]x[/bold]")
