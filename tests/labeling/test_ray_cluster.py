"""Tests of what can be told of a cluster without one; the rest: test_label_ray."""

import os
import sys

import pytest

from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.ray_cluster import Ended, _ended, _environment, connected


async def _done(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_a_missing_ray_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match="pip install 'rlaif_jax\\[ray\\]'"),
        connected(None),
    ):
        pass


def test_an_end_is_told_or_raised():
    assert _ended(_done, ["blocks/000001.jsonl"]).name() == "blocks/000001.jsonl"
    ended = _ended(_done, [RefusedError("no credit")])
    assert ended == Ended("", "RefusedError", "no credit")
    with pytest.raises(RefusedError, match="no credit"):
        ended.name()


def test_an_error_carries_no_key_from_a_node():
    ended = _ended(_done, [UsageError("bad key sk-abcdef123456")])
    assert "sk-abcdef" not in ended.message


def test_a_bug_is_not_taken_for_an_end():
    with pytest.raises(ZeroDivisionError):
        _ended(_done, [ZeroDivisionError()])


def test_variables_are_set_only_for_a_while(monkeypatch):
    monkeypatch.setenv("RLAIF_ONE", "1")
    with _environment({"RLAIF_ONE": "2", "RLAIF_TWO": "2"}):
        assert (os.environ["RLAIF_ONE"], os.environ["RLAIF_TWO"]) == ("2", "2")
    assert os.environ["RLAIF_ONE"] == "1"
    assert "RLAIF_TWO" not in os.environ
