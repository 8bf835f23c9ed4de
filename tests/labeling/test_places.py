"""Tests of `rlaif_jax.labeling.places`."""

import random

import pytest

from rlaif_jax.labeling import places
from rlaif_jax.labeling.places import Places


def test_what_was_kept_is_found_and_nothing_else(monkeypatch):
    monkeypatch.setattr(places, "_LEAST_RECENT", 7)
    draw, kept, found = random.Random(0), {}, Places()
    for _ in range(500):
        key = draw.randbytes(16) if draw.random() < 0.8 or not kept else min(kept)
        value = draw.randrange(2**62)
        kept[key] = found[key] = value
        assert len(found) == len(kept)
    assert {key: found.get(key) for key in kept} == kept
    assert all(found.get(draw.randbytes(16)) is None for _ in range(500))


@pytest.mark.parametrize("size", [1, 2])
def test_zeros_at_the_end_of_a_key_count(monkeypatch, size):
    monkeypatch.setattr(places, "_LEAST_RECENT", size)
    found = Places()
    keys = [bytes(16), b"a" + bytes(15), b"a" * 15 + b"\0", b"a" * 16, b"\xff" * 16]
    for number, key in enumerate(keys):
        found[key] = number
    assert [found.get(key) for key in keys] == list(range(5))
    assert found.get(b"a" * 14 + b"\0a") is None


def test_an_empty_one_has_nothing():
    assert Places().get(bytes(16)) is None and len(Places()) == 0
