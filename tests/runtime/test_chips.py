"""Tests of `rlaif_jax.runtime.chips`."""

import pytest

from rlaif_jax.runtime.chips import find_chip


def test_known_devices_are_told_of_and_no_other_is_guessed():
    h200, v5e = find_chip("NVIDIA H200"), find_chip("TPU v5 lite")
    assert h200 is not None and v5e is not None
    assert h200.flops == 989.4e12
    assert v5e.flops == 197e12
    assert v5e.memory == 16 * 2**30
    assert find_chip("cpu") is None
    assert find_chip("NVIDIA H300") is None


@pytest.mark.parametrize(
    ("kind", "flops_a_byte"), [("TPU v5 lite", 240), ("TPU v5", 166), ("TPU v6e", 560)]
)
def test_what_is_done_with_a_byte_is_what_makers_say(kind, flops_a_byte):
    chip = find_chip(kind)
    assert chip is not None
    assert chip.flops / chip.memory_rate == pytest.approx(flops_a_byte, rel=0.01)
