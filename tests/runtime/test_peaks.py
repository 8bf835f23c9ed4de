"""Tests of `rlaif_jax.runtime.peaks`."""

from rlaif_jax.runtime.peaks import peak_flops


def test_known_devices_have_a_peak_and_no_other_is_guessed():
    assert peak_flops("NVIDIA H200") == 989.4e12
    assert peak_flops("TPU v5 lite") == 197e12
    assert peak_flops("cpu") is None
    assert peak_flops("NVIDIA H300") is None
