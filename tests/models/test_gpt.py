"""Tests of `rlaif_jax.models.gpt`."""

from rlaif_jax.models.gpt import PRESETS


def test_pythia_rotates_a_quarter_of_a_head():
    assert PRESETS["pythia-2.8b"].head_dim == 80
    assert PRESETS["pythia-2.8b"].rotary_dim == 20


def test_gpt2_xl_has_25_heads_of_64():
    xl = PRESETS["gpt2-xl"]
    assert (xl.num_heads, xl.head_dim, xl.ffw) == (25, 64, 6400)
