"""Tests of `rlaif_jax.training.logp_store`."""

import logging

import numpy as np
import pytest

from rlaif_jax.training.logp_store import LogpStore

ONE, TWO, THREE = (bytes([n]) * 16 for n in (1, 2, 3))
ROWS = {ONE: np.float32([-1.5, -2.5]), TWO: np.float32([-3.0]), THREE: np.float32([])}


def opened(folder, *, identity="reference", writer="run"):
    return LogpStore(folder, identity=identity, writer=writer)


def require_known(store, keys):
    assert set(store.known) == set(keys)
    for key in keys:
        np.testing.assert_array_equal(store.known[key], ROWS[key])


def test_what_is_added_is_there_when_opened_again(tmp_path):
    store = opened(tmp_path)
    store.add({ONE: ROWS[ONE]})
    store.add({TWO: ROWS[TWO], THREE: ROWS[THREE]})
    require_known(store, ROWS)
    require_known(opened(tmp_path), ROWS)
    # 24 bytes a head and 4 a number
    assert (tmp_path / "reference" / "run.logps").stat().st_size == 3 * 24 + 4 * 3


def test_writers_read_each_other_and_no_other_reference(tmp_path):
    opened(tmp_path, writer="a").add({ONE: ROWS[ONE]})
    opened(tmp_path, writer="b").add({TWO: ROWS[TWO]})
    opened(tmp_path, identity="other").add({THREE: ROWS[THREE]})
    require_known(opened(tmp_path, writer="c"), [ONE, TWO])


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda b: b[:-1], [ONE, TWO]),  # torn in the last entry's head
        (lambda b: b[:50], [ONE]),
        (lambda b: b[:30] + b"\xff" + b[31:], []),  # a flipped value in the first
        (lambda b: b[:33] + b"\xff" + b[34:], [ONE]),  # and in the second's key
        (lambda b: b[:48] + b"\xff\xff\xff\xff" + b[52:], [ONE]),  # and its count
        (lambda b: b + b"junk", [ONE, TWO, THREE]),
    ],
)
def test_damage_ends_what_is_believed_and_is_cut_off(tmp_path, damage, kept, caplog):
    opened(tmp_path).add(ROWS)
    path = tmp_path / "reference" / "run.logps"
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        store = opened(tmp_path)
    require_known(store, kept)
    assert "damaged" in caplog.text
    missing = {key: ROWS[key] for key in ROWS if key not in kept}
    store.add(missing)
    require_known(opened(tmp_path), ROWS)


def test_another_writer_s_damage_is_left_alone(tmp_path):
    opened(tmp_path, writer="a").add(ROWS)
    path = tmp_path / "reference" / "a.logps"
    torn = path.read_bytes()[:-1]
    path.write_bytes(torn)
    require_known(opened(tmp_path, writer="b"), [ONE, TWO])
    assert path.read_bytes() == torn
